package cli

import (
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/alecthomas/kong"
)

// helpWidth is the widest that help is wrapped to, in characters.
const helpWidth = 120

// Help is the command "help": the help of the program or of another command.
type Help struct {
	Command []string `arg:"" optional:"" help:"The command, in one or two words."`
	All     bool     `help:"Also list the flags of LMCache that are ignored or refused."`
}

// Examples implements Helper.
func (*Help) Examples() []string { return []string{"lmcache help", "lmcache help version"} }

// helpCommand returns the struct of the help command if the node is it.
func helpCommand(node *kong.Node) (*Help, bool) {
	h, ok := reflect.TypeAssert[*Help](node.Target.Addr())
	return h, ok
}

// help runs the command "help".
func (a *App) help(parser *kong.Kong, h *Help) int {
	problems := newProblems(a.IO.LookupEnv)
	line := scan(parser.Model, problems, a.Notes, append(slices.Clone(h.Command), "--help")) // no argument of the command is missing
	if err := problems.Err(); err != nil {
		return a.fail(err)
	}
	return a.printHelp(parser, line.words, h.All)
}

// printHelp prints the help of a command, or of the program without words.
func (a *App) printHelp(parser *kong.Kong, words []string, all bool) int {
	ctx, err := kong.Trace(parser, words)
	if err != nil {
		return a.fail(err)
	}
	if err := ctx.PrintUsage(false); err != nil {
		return a.fail(err)
	}
	node := ctx.Selected()
	if node == nil {
		return ExitOK
	}
	if all {
		a.printUpstream(node)
	}
	return ExitOK
}

// printUpstream lists LMCache's flags that the command does not have.
func (a *App) printUpstream(node *kong.Node) {
	title := "\nFlags of LMCache that have no effect here, are refused, or are to come\n"
	for _, flag := range chainFlags(node) {
		treat := flag.Tag.Get("treat")
		if treat == "" {
			continue
		}
		_, _ = fmt.Fprint(a.IO.Stdout, title)
		title = ""
		text := map[string]string{
			treatSilent: "accepted, no effect", treatIgnored: "ignored with a warning", treatRefused: "refused", treatLater: "not available yet",
		}[treat]
		if why := flag.Tag.Get("why"); why != "" {
			text += ": " + why
		}
		_, _ = fmt.Fprintf(a.IO.Stdout, "  --%-40s %s\n", flag.Name, text)
	}
}

// prepareModel completes the grammar: LMCache's flags are hidden, booleans that
// are on by default show their negation, and examples become part of the help.
func prepareModel(k *kong.Kong) error {
	return kong.Visit(k.Model, func(v kong.Visitable, next kong.Next) error {
		switch n := v.(type) {
		case *kong.Flag:
			if n.Tag.Has("treat") {
				n.Hidden = true
			}
			if n.IsBool() && n.Default == "true" {
				n.Tag.Negatable = "_"
			}
			n.Tag.Sep = -1 // only the environment takes lists with commas
			if n.PlaceHolder == "" {
				n.PlaceHolder = placeHolder(n.Value)
			}
		case *kong.Node:
			addExamples(n)
		}
		return next(nil)
	})
}

func addExamples(n *kong.Node) {
	h, ok := reflect.TypeAssert[Helper](n.Target.Addr())
	if !ok {
		return
	}
	n.Detail = strings.TrimSpace(n.Detail + "\n\nExamples:\n\n\t" + strings.Join(h.Examples(), "\n\t"))
}

// placeHolder names the kind of a flag's value.
func placeHolder(v *kong.Value) string {
	switch v.Target.Interface().(type) {
	case Bytes:
		return "SIZE"
	case Seconds:
		return "SECONDS"
	case int, int64, uint64:
		return "N"
	case float64:
		return "F"
	case []string:
		return "LIST"
	}
	return "TEXT"
}

// formatHelp writes the help of one flag or argument: its sentence, what is
// allowed, the default and the environment variable.
func formatHelp(v *kong.Value) string {
	text := strings.TrimSuffix(v.Help, ".")
	var notes []string
	if allowed := tagsOf(v.Tag).describe(); allowed != "" {
		notes = append(notes, allowed)
	}
	if v.HasDefault && v.Default != "" && !v.IsBool() {
		unit := ""
		switch v.Target.Interface().(type) {
		case Bytes:
			unit = " " + v.Tag.Get("unit")
		case Seconds:
			unit = " s"
		}
		notes = append(notes, "default "+v.Default+unit)
	} else if v.IsBool() && v.Default == "true" {
		notes = append(notes, "default on")
	}
	if v.Flag != nil && v.Name != "help" {
		notes = append(notes, EnvName(v.Name))
	}
	if len(notes) == 0 {
		return text + "."
	}
	return text + " (" + strings.Join(notes, "; ") + ")."
}
