package cli

import (
	"slices"
	"strconv"
	"strings"

	"github.com/alecthomas/kong"

	"github.com/lmcache-go/lmcache/internal/suggest"
)

// commandLine is what a scan of the arguments found.
type commandLine struct {
	node  *kong.Node // the command; the application if there is none
	words []string   // its path
	args  []string   // the arguments in the one form that kong cannot misread
	help  bool       // -h or --help was among them
	stray bool       // an unknown command was reported: nothing else can be judged
}

// given is one flag as it was written.
type given struct {
	name   string // without dashes
	text   string // value
	valued bool   // a value was written
	dashes string
}

// scanner walks over the arguments with the grammar in hand.
type scanner struct {
	model    *kong.Application
	problems *Problems
	args     []string
	node     *kong.Node
	words    []string
	flags    []given
	rest     []string // positional arguments
	help     bool
	stray    bool // an unknown command was reported: nothing after it can be judged
}

// scan finds the command and its flags, reports what is unknown, and writes the
// rest down in one form: command, flags with "=", "--", arguments.
func scan(model *kong.Application, problems *Problems, commands CommandNotes, args []string) commandLine {
	s := &scanner{model: model, problems: problems, args: args, node: model.Node}
	s.walk(commands)
	line := commandLine{node: s.node, words: s.words, args: slices.Clone(s.words), help: s.help, stray: s.stray}
	if s.stray || s.help {
		return line
	}
	line.args = append(line.args, s.resolve()...)
	if len(s.rest) > 0 {
		line.args = append(append(line.args, "--"), s.rest...)
	}
	return line
}

// walk splits the arguments into command words, flags and the rest.
func (s *scanner) walk(commands CommandNotes) {
	for len(s.args) > 0 {
		arg := s.pop()
		switch {
		case arg == "--":
			s.rest = append(s.rest, s.args...)
			s.args = nil
		case strings.HasPrefix(arg, "--"):
			s.long(arg[2:])
		case strings.HasPrefix(arg, "-") && len(arg) > 1:
			s.short(arg[1:])
		default:
			s.word(arg, commands)
		}
		if s.stray {
			return
		}
	}
}

func (s *scanner) pop() string {
	arg := s.args[0]
	s.args = s.args[1:]
	return arg
}

// word takes a command's name or an argument.
func (s *scanner) word(arg string, commands CommandNotes) {
	for _, child := range s.node.Children {
		if child.Name == arg {
			s.node, s.words = child, append(s.words, arg)
			return
		}
	}
	if len(s.node.Children) > 0 || s.node == s.model.Node {
		s.stray = true
		s.unknownCommand(arg, commands)
		return
	}
	s.rest = append(s.rest, arg)
}

// unknownCommand reports a command that is not in the grammar.
func (s *scanner) unknownCommand(arg string, commands CommandNotes) {
	path := append(slices.Clone(s.words), arg)
	for _, next := range s.args {
		if strings.HasPrefix(next, "-") {
			break
		}
		path = append(path, next)
	}
	for n := len(path); n > 0; n-- {
		words := strings.Join(path[:n], " ")
		if note, ok := commands[words]; ok {
			s.problems.Usage("\"lmcache %s\" %s", words, note)
			return
		}
	}
	var names []string
	for _, child := range s.node.Children {
		if !child.Hidden {
			names = append(names, child.Name)
		}
	}
	prefix := ""
	if len(s.words) > 0 {
		prefix = strings.Join(s.words, " ") + " "
	}
	hint := didYouMean(prefix, arg, names)
	if hint == "" {
		hint = s.deeper(arg)
	}
	s.problems.Usage("unknown command %s%s", quote(prefix+arg), hint)
}

// deeper suggests the command of that name below another one.
func (s *scanner) deeper(arg string) string {
	for _, leaf := range s.model.Leaves(true) {
		if leaf.Name == arg {
			return "; did you mean " + strconv.Quote(leaf.Path()) + "?"
		}
	}
	return ""
}

// long takes --name, --name=value or --name value.
func (s *scanner) long(text string) {
	name, value, valued := strings.Cut(text, "=")
	if name == "help" && !valued {
		s.help = true
		return
	}
	g := given{name: name, text: value, valued: valued, dashes: "--"}
	flag, _ := s.find(name)
	if flag == nil || valued || flag.IsBool() {
		if flag == nil && !valued {
			s.guessValue(&g)
		}
		s.flags = append(s.flags, g)
		return
	}
	if flag.Tag.Get("nargs") == "*" {
		for len(s.args) > 0 && isValue(s.args[0]) {
			s.flags = append(s.flags, given{name: name, text: s.pop(), valued: true, dashes: "--"})
			g.valued = true
		}
		if !g.valued {
			s.flags = append(s.flags, g)
		}
		return
	}
	if len(s.args) > 0 && isValue(s.args[0]) {
		g.text, g.valued = s.pop(), true
	}
	s.flags = append(s.flags, g)
}

// guessValue lets an unknown flag take the next argument as its value if the
// flag that was probably meant takes one, so that the value is not reported too.
func (s *scanner) guessValue(g *given) {
	flag, _ := s.find(suggest.Nearest(g.name, s.flagNames(true)))
	if flag == nil || flag.IsBool() || len(s.args) == 0 || !isValue(s.args[0]) {
		return
	}
	g.text, g.valued = s.pop(), true
}

// short takes -q or a cluster of such flags; the last may take a value.
func (s *scanner) short(cluster string) {
	for i, r := range cluster {
		if r == 'h' {
			s.help = true
			continue
		}
		var flag *kong.Flag
		for _, f := range s.candidates() {
			if f.Short == r {
				flag = f
				break
			}
		}
		if flag == nil {
			s.flags = append(s.flags, given{name: string(r), dashes: "-"})
			continue
		}
		if flag.IsBool() {
			s.flags = append(s.flags, given{name: flag.Name, dashes: "--"})
			continue
		}
		g := given{name: flag.Name, dashes: "--"}
		if tail := cluster[i+len(string(r)):]; tail != "" {
			g.text, g.valued = strings.TrimPrefix(tail, "="), true
		} else if len(s.args) > 0 && isValue(s.args[0]) {
			g.text, g.valued = s.pop(), true
		}
		s.flags = append(s.flags, g)
		return
	}
}

// isValue tells a value from the next flag: "-" and what begins like a negative
// number are values.
func isValue(arg string) bool {
	digits := strings.TrimPrefix(strings.TrimPrefix(arg, "-"), ".")
	return !strings.HasPrefix(arg, "-") || arg == "-" || (digits != "" && digits[0] >= '0' && digits[0] <= '9')
}

// candidates are the flags that an argument may mean at this point: those of
// the command so far and, since flags may come before a subcommand, those of
// the commands below it.
func (s *scanner) candidates() []*kong.Flag {
	flags := chainFlags(s.node)
	var below func(n *kong.Node)
	below = func(n *kong.Node) {
		for _, child := range n.Children {
			flags = append(flags, child.Flags...)
			below(child)
		}
	}
	below(s.node)
	return flags
}

// chainFlags are the flags of a node and of its ancestors.
func chainFlags(node *kong.Node) []*kong.Flag {
	var flags []*kong.Flag
	for n := node; n != nil; n = n.Parent {
		flags = append(flags, n.Flags...)
	}
	return flags
}

// find returns the flag that a name means; negated if it is written with "no-".
func (s *scanner) find(name string) (flag *kong.Flag, negated bool) {
	return findFlag(s.candidates(), name)
}

func findFlag(flags []*kong.Flag, name string) (flag *kong.Flag, negated bool) {
	for _, f := range flags {
		if f.Name == name {
			return f, false
		}
	}
	if positive, ok := strings.CutPrefix(name, "no-"); ok {
		for _, f := range flags {
			if f.Name == positive && f.IsBool() {
				return f, true
			}
		}
	}
	return nil, false
}

func (s *scanner) flagNames(below bool) []string {
	flags := chainFlags(s.node)
	if below {
		flags = s.candidates()
	}
	return visibleNames(flags)
}

// visibleNames are the names of the flags that help shows.
func visibleNames(flags []*kong.Flag) []string {
	var names []string
	for _, f := range flags {
		if !f.Hidden {
			names = append(names, f.Name)
		}
	}
	return names
}

// resolve checks the flags against the command that was found, notes their
// origin and writes them with "=".
func (s *scanner) resolve() []string {
	flags := chainFlags(s.node)
	var out []string
	for _, g := range s.flags {
		flag, negated := findFlag(flags, g.name)
		switch {
		case flag == nil:
			s.problems.Usage("unknown flag %s%s%s", g.dashes, g.name, didYouMean("--", g.name, visibleNames(flags)))
			continue
		case flag.IsBool():
			text, ok := boolText(g, negated)
			if !ok {
				s.problems.Flag(g.name, "must be true or false, got %s", quote(g.text))
				continue
			}
			g.text = text
		case !g.valued && flag.Tag.Get("nargs") == "*":
			s.problems.origins[flag.Name] = origin{source: fromArgs}
			continue
		case !g.valued:
			s.problems.Flag(flag.Name, "needs a value")
			continue
		}
		s.problems.origins[flag.Name] = origin{source: fromArgs, text: g.text}
		out = append(out, "--"+flag.Name+"="+g.text)
	}
	s.checkRest()
	return out
}

// boolText is the value that a written boolean flag means.
func boolText(g given, negated bool) (string, bool) {
	value := true
	if g.valued {
		v, err := parseBool(g.text)
		if err != nil {
			return "", false
		}
		value = v
	}
	return strconv.FormatBool(value != negated), true
}

// checkRest compares the positional arguments with those of the command.
func (s *scanner) checkRest() {
	want := s.node.Positional
	for i, arg := range s.rest {
		if i >= len(want) {
			if last := len(want) - 1; last >= 0 && want[last].IsCumulative() {
				break
			}
			s.problems.Usage("unexpected argument %s", quote(arg))
		}
	}
	s.rest = s.rest[:min(len(s.rest), s.room())]
	for i := len(s.rest); i < len(want); i++ {
		if want[i].Required {
			s.problems.Usage("argument %s is missing", want[i].Summary())
		}
	}
}

// room is the number of positional arguments that the command takes.
func (s *scanner) room() int {
	want := s.node.Positional
	if n := len(want); n > 0 && want[n-1].IsCumulative() {
		return len(s.rest)
	}
	return len(want)
}
