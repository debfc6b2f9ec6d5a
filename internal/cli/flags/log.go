package flags

import (
	"log/slog"

	"github.com/lmcache-go/lmcache/internal/cli"
	"github.com/lmcache-go/lmcache/internal/loglevel"
)

// Log holds the flags of the program's log.
type Log struct {
	Level  string `name:"log-level" group:"Observability" default:"INFO" choices:"DEBUG,INFO,WARNING,ERROR,CRITICAL" fold:"" lenientenv:"" help:"Least level that is logged"`
	Format string `name:"log-format" group:"Observability" default:"text" choices:"text,json" help:"Form of the log"`
	Color  string `name:"log-color" group:"Observability" default:"auto" choices:"auto,always,never" help:"Colours in the text form; auto: on a terminal"`
}

// Logger returns the logger that the flags ask for, on stderr, and its level,
// which may be changed at any time.
func (l *Log) Logger(io *cli.IO) (*slog.Logger, *slog.LevelVar) {
	level := new(slog.LevelVar)
	if v, ok := loglevel.Parse(l.Level); ok {
		level.Set(v)
	}
	return slog.New(cli.NewLogHandler(io.Stderr, cli.LogOptions{
		Level:  level,
		JSON:   l.Format == "json",
		Colors: l.Color == "always" || (l.Color == "auto" && io.Colors(io.Stderr)),
	})), level
}
