package cli

import (
	"fmt"
	"reflect"
	"strings"

	"github.com/alecthomas/kong"
)

// Setting is a flag of a command with the value that a run would have.
type Setting struct {
	Name    string // of the flag, without dashes
	Group   string // title under which the help lists it; may be empty
	Kind    string // BOOL, TEXT, LIST, JSON, N, F, SIZE or SECONDS
	Allowed string // choices or bounds in words; may be empty
	Default string // as the help shows it; may be empty
	Help    string
	Value   string
	Origin  string // "flag", "environment NAME", "FILE:LINE" or "default"
	Foreign bool   // a flag of LMCache that has no effect here
}

// Settings returns the flags of the command that args ask for, in the order of
// the command's definition, without running it. The error is what a run would
// report; the settings of flags without problems are right all the same.
func (a *App) Settings(args []string) ([]Setting, error) {
	problems := newProblems(a.IO.LookupEnv)
	parser, err := a.parser(problems)
	if err != nil {
		return nil, err
	}
	line := scan(parser.Model, problems, a.Notes, args)
	if !line.stray {
		a.fill(parser, line, problems)
	}
	var out []Setting
	for _, flag := range chainFlags(line.node) {
		if flag.Name != "help" {
			out = append(out, setting(flag, problems.origins[flag.Name]))
		}
	}
	return out, problems.Err()
}

// Commands returns the paths of all commands that can be run, in the order of
// the grammar.
func (a *App) Commands() ([]string, error) {
	parser, err := a.parser(newProblems(a.IO.LookupEnv))
	if err != nil {
		return nil, err
	}
	var out []string
	for _, leaf := range parser.Model.Leaves(true) {
		out = append(out, leaf.Path())
	}
	return out, nil
}

func setting(flag *kong.Flag, from origin) Setting {
	s := Setting{
		Name: flag.Name, Kind: placeHolder(flag.Value), Allowed: tagsOf(flag.Tag).describe(), Default: flag.Default,
		Help: flag.Help, Value: valueText(flag.Target), Origin: "default", Foreign: flag.Tag.Has("treat"),
	}
	if flag.IsBool() {
		s.Kind = "BOOL"
	}
	if list, ok := reflect.TypeAssert[[]string](flag.Target); ok && flag.Tag.Has("json") {
		s.Kind = "JSON"
		for i, text := range list {
			list[i] = maskJSON(text)
		}
		s.Value = strings.Join(list, " ")
	}
	if flag.Group != nil {
		s.Group = flag.Group.Title
	}
	switch from.source {
	case fromArgs:
		s.Origin = "flag"
	case fromEnv:
		s.Origin = "environment " + from.where
	case fromFile:
		s.Origin = from.where
	case fromDefault:
	}
	return s
}

// valueText writes a flag's value; a pointer that is nil is empty.
func valueText(v reflect.Value) string {
	if v.Kind() == reflect.Pointer {
		if v.IsNil() {
			return ""
		}
		v = v.Elem()
	}
	return fmt.Sprint(v.Interface())
}
