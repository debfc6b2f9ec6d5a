package cli

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"strings"

	"github.com/alecthomas/kong"
)

// App is a program: a kong grammar and what surrounds it. Its fields are
// read-only once Run has been called; each Run fills a grammar of its own, so
// runs may go on at the same time.
type App struct {
	Name        string
	Description string
	New         func() any // returns a pointer to a fresh grammar
	Notes       CommandNotes
	Groups      []kong.Group      // titles of the groups that flags name
	Aliases     map[string]string // first arguments that stand for a command, such as --version
	IO          *IO
}

// configFlag is the flag of the grammar's root that names the configuration file.
const configFlag = "config"

// Run runs the command that args (without the program's name) ask for and
// returns the exit code.
func (a *App) Run(ctx context.Context, args []string) int {
	node, code := a.prepare(args)
	if node == nil {
		return code
	}
	return a.run(ctx, node)
}

// Check does what Run does up to the point where the command would run, and
// returns ExitOK if it would.
func (a *App) Check(args []string) int {
	_, code := a.prepare(args)
	return code
}

// prepare fills the command that args ask for. A nil node means that all is
// done: help was printed, or problems.
func (a *App) prepare(args []string) (node *kong.Node, code int) {
	problems := newProblems(a.IO.LookupEnv)
	parser, err := a.parser(problems)
	if err != nil {
		printError(a.IO.Stderr, err)
		return nil, ExitBug
	}
	if len(args) == 0 {
		return nil, a.printHelp(parser, nil, false)
	}
	if command, ok := a.Aliases[args[0]]; ok {
		args = append([]string{command}, args[1:]...)
	}
	line := scan(parser.Model, problems, a.Notes, args)
	if line.help && problems.Err() == nil {
		return nil, a.printHelp(parser, line.words, false)
	}
	switch {
	case line.stray:
	case len(line.node.Children) > 0:
		problems.Usage("\"%s\" needs a command after it (%s)", line.node.FullPath(), strings.TrimSpace(a.Name+" help "+line.node.Path()))
	default:
		a.fill(parser, line, problems)
	}
	problems.printWarnings(a.IO.Stderr)
	if err := problems.Err(); err != nil {
		return nil, a.fail(err)
	}
	if help, ok := helpCommand(line.node); ok {
		return nil, a.help(parser, help)
	}
	return line.node, ExitOK
}

// parser builds the grammar and kong's parser for one run.
func (a *App) parser(problems *Problems) (*kong.Kong, error) {
	options := append(mapper{problems}.options(),
		kong.Name(a.Name),
		kong.Description(a.Description),
		kong.Writers(a.IO.Stdout, a.IO.Stderr),
		kong.Exit(func(int) {}),
		kong.ExplicitGroups(a.Groups),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, WrapUpperBound: helpWidth}),
		kong.ValueFormatter(formatHelp),
		kong.PostBuild(prepareModel),
	)
	parser, err := kong.New(a.New(), options...)
	if err != nil {
		return nil, fmt.Errorf("internal error: %w", err)
	}
	return parser, nil
}

// fill reads the configuration file, lets kong decode all values into the
// grammar, and runs the checks. Everything that is wrong goes to problems.
func (a *App) fill(parser *kong.Kong, line commandLine, problems *Problems) {
	r := &resolver{problems: problems, node: line.node, skip: map[string]bool{"help": true, configFlag: true}}
	if path := configPath(parser.Model, problems); path != "" {
		r.file = readConfig(path, parser.Model, problems)
	}
	kong.Resolvers(r).Apply(parser) //nolint:errcheck // it has none
	if _, err := parser.Parse(line.args); err != nil {
		if problems.Err() == nil {
			problems.Usage("%v", err)
		}
		return
	}
	treatUpstream(chainFlags(line.node), problems)
	if c, ok := reflect.TypeAssert[Checker](line.node.Target.Addr()); ok {
		c.Check(problems)
	}
}

// configPath is the configuration file to read: that of the flag, else that of
// the environment. Empty means none.
func configPath(app *kong.Application, problems *Problems) string {
	if flag, _ := findFlag(app.Flags, configFlag); flag == nil {
		return ""
	}
	if from := problems.origins[configFlag]; from.source == fromArgs {
		return from.text
	}
	name := EnvName(configFlag)
	path, _ := problems.LookupEnv(name)
	if path != "" {
		problems.origins[configFlag] = origin{source: fromEnv, where: name, text: path}
	}
	return path
}

// run runs the command of a node. A command that stopped because of a signal
// ends with the exit code of that signal.
func (a *App) run(ctx context.Context, node *kong.Node) int {
	command, ok := reflect.TypeAssert[Command](node.Target.Addr())
	if !ok {
		return a.fail(&ExitError{Code: ExitBug, Err: fmt.Errorf("internal error: %q cannot run", node.Path())})
	}
	err := command.Run(ctx, a.IO)
	var signal *InterruptedError
	if errors.Is(err, context.Canceled) && errors.As(context.Cause(ctx), &signal) {
		err = &ExitError{Code: signal.ExitCode(), Err: signal}
	}
	return a.fail(err)
}

// fail prints an error and returns its exit code; nil is ExitOK.
func (a *App) fail(err error) int {
	if err == nil {
		return ExitOK
	}
	if exit, ok := errors.AsType[*ExitError](err); ok {
		if exit.Err != nil {
			printError(a.IO.Stderr, exit.Err)
		}
		return exit.Code
	}
	printError(a.IO.Stderr, err)
	if problems, ok := errors.AsType[*Problems](err); ok {
		problems.printWarnings(a.IO.Stderr)
		return problems.ExitCode()
	}
	return ExitFailed
}
