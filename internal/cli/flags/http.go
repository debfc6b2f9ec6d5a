package flags

// HTTP holds the flags of the HTTP front end.
type HTTP struct {
	Host    string `name:"http-host" group:"HTTP" default:"127.0.0.1" help:"Address of the HTTP front end"`
	Port    int    `name:"http-port" group:"HTTP" default:"8080" min:"0" max:"65535" help:"Port of the HTTP front end; 0 takes any free one"`
	Disable bool   `name:"disable-http" group:"HTTP" help:"No HTTP front end"`
}

// Listener is where the front end listens; port 0 if nowhere that is known before.
func (h *HTTP) Listener() Listener {
	if h.Disable {
		return Listener{}
	}
	return Listener{Flag: "http-port", Host: h.Host, Port: h.Port}
}
