package cli

import (
	"reflect"
	"regexp"
	"strings"

	"github.com/alecthomas/kong"
)

// EnvName is the environment variable of a flag (its name without dashes).
func EnvName(flag string) string {
	return "LMCACHE_" + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
}

// resolver gives kong the values that are not on the command line: those of the
// environment, then those of the configuration file.
type resolver struct {
	problems *Problems
	node     *kong.Node // the command that runs
	file     *configFile
	skip     map[string]bool // flags that have a value only on the command line
}

// Validate implements kong.Resolver.
func (*resolver) Validate(*kong.Application) error { return nil }

// Resolve implements kong.Resolver. It notes where the value came from before
// kong decodes it. A nil value leaves the flag at its default.
func (r *resolver) Resolve(_ *kong.Context, _ *kong.Path, flag *kong.Flag) (any, error) {
	if r.skip[flag.Name] || r.problems.IsBad(flag.Name) || r.problems.IsSet(flag.Name) {
		return nil, nil //nolint:nilnil // kong's way to say that there is no value
	}
	if text, ok := r.env(flag); ok {
		r.problems.origins[flag.Name] = origin{source: fromEnv, where: EnvName(flag.Name), text: text}
		switch {
		case flag.Tag.Has("json"):
			return jsonTexts(text), nil
		case flag.IsSlice():
			return strings.Split(text, ","), nil
		}
		return text, nil
	}
	if r.file == nil {
		return nil, nil //nolint:nilnil // as above
	}
	value, ok := r.file.lookup(r.node, flag.Name)
	if !ok {
		return nil, nil //nolint:nilnil // as above
	}
	r.problems.origins[flag.Name] = origin{source: fromFile, where: value.where, text: strings.Join(value.texts, ",")}
	if flag.IsSlice() {
		return value.texts, nil
	}
	return value.texts[0], nil
}

// kubernetesLink is what the kubelet sets for every Service: a Service named
// lmcache makes it LMCACHE_PORT=tcp://10.0.0.1:5555.
var kubernetesLink = regexp.MustCompile(`^(tcp|udp|sctp)://`)

// env is the flag's value in the environment. An empty one counts as none
// unless the flag says otherwise.
func (r *resolver) env(flag *kong.Flag) (string, bool) {
	name := EnvName(flag.Name)
	text, ok := r.problems.LookupEnv(name)
	if !ok || (text == "" && !flag.Tag.Has("emptyenv")) {
		return "", false
	}
	if kubernetesLink.MatchString(text) && isNumeric(flag) {
		r.problems.Warn("%s=%s is ignored: Kubernetes sets it for a Service named lmcache; --%s takes a number", name, text, flag.Name)
		return "", false
	}
	return text, true
}

// isNumeric tells whether the flag takes a number, a size or a length of time.
func isNumeric(flag *kong.Flag) bool {
	switch flag.Target.Kind() { //nolint:exhaustive // the kinds that options registers
	case reflect.Int, reflect.Int64, reflect.Uint64, reflect.Float64:
		return true
	}
	return flag.Tag.Has("numeric")
}
