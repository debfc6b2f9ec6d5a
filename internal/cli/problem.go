package cli

import (
	"errors"
	"fmt"
	"io"
	"strings"
)

// Exit codes of lmcache.
const (
	ExitOK        = 0
	ExitFailed    = 1   // this machine or environment is in the way, or the work failed
	ExitUsage     = 2   // the command line, environment or file would be wrong on any machine
	ExitBug       = 70  // an internal error
	ExitInterrupt = 130 // SIGINT before the work was done
	ExitTerminate = 143 // SIGTERM before the work was done
)

// maxLine is the length that a line is cut to, in bytes, with its prefix.
const maxLine = 200 - len("lmcache: warning: ")

// problem is one line on stderr.
type problem struct {
	flag string // name without dashes; empty if the problem belongs to none
	text string
	code int // ExitFailed or ExitUsage
}

// Problems collects what is wrong with one run before anything is done. It
// belongs to one goroutine. As an error, it is the problems of a command that
// finds them only when it runs; the program prints each on a line of its own.
type Problems struct { //nolint:errname // it is the list that the program collects; an error only if it is not empty
	list     []problem
	warnings []string
	origins  map[string]origin
	bad      map[string]bool // flags with a problem
	env      func(string) (string, bool)
}

func newProblems(env func(string) (string, bool)) *Problems {
	return &Problems{origins: map[string]origin{}, bad: map[string]bool{}, env: env}
}

// Flag reports that the value of a flag (its name without dashes) is wrong on
// any machine. The place that the value came from is added. Of several reports
// on one flag the first stays.
func (p *Problems) Flag(name, format string, args ...any) { p.add(ExitUsage, name, format, args...) }

// Element reports that value n (1 is the first) of a flag that can be repeated is
// wrong on any machine. Unlike those of Flag, all reports stay.
func (p *Problems) Element(name string, n int, format string, args ...any) {
	p.bad[name] = true
	p.Usage("--%s %d: %s%s", name, n, fmt.Sprintf(format, args...), p.origins[name].suffix())
}

// Machine reports that the value of a flag cannot be had on this machine.
func (p *Problems) Machine(name, format string, args ...any) {
	p.add(ExitFailed, name, format, args...)
}

// Usage reports something that is wrong on any machine and belongs to no flag.
func (p *Problems) Usage(format string, args ...any) { p.add(ExitUsage, "", format, args...) }

// Failed reports something that is in the way on this machine and belongs to no flag.
func (p *Problems) Failed(format string, args ...any) { p.add(ExitFailed, "", format, args...) }

// Errors reports err, or each of the errors that err joins, as wrong on any
// machine; nil adds nothing. It takes what a library's Validate returns.
func (p *Problems) Errors(err error) {
	if err == nil {
		return
	}
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		for _, e := range joined.Unwrap() {
			p.Errors(e)
		}
		return
	}
	p.Usage("%v", err)
}

// Warn adds a warning, which stops nothing.
func (p *Problems) Warn(format string, args ...any) {
	p.warnings = append(p.warnings, fmt.Sprintf(format, args...))
}

func (p *Problems) add(code int, flag, format string, args ...any) {
	if flag != "" && p.bad[flag] {
		return
	}
	text := fmt.Sprintf(format, args...)
	if flag != "" {
		p.bad[flag] = true
		text = "--" + flag + ": " + text + p.origins[flag].suffix()
	}
	p.list = append(p.list, problem{flag: flag, text: text, code: code})
}

// IsSet tells whether a flag got a value other than by its default.
func (p *Problems) IsSet(name string) bool { return p.origins[name].source != fromDefault }

// IsArgument tells whether a flag got its value on the command line.
func (p *Problems) IsArgument(name string) bool { return p.origins[name].source == fromArgs }

// IsBad tells whether a problem with the flag was reported, so that a check
// that builds on its value can be left out.
func (p *Problems) IsBad(name string) bool { return p.bad[name] }

// LookupEnv returns an environment variable of this run.
func (p *Problems) LookupEnv(name string) (string, bool) { return p.env(name) }

// Err is p if there is any problem, else nil.
func (p *Problems) Err() error {
	if len(p.list) == 0 {
		return nil
	}
	return p
}

// Error joins the problems with line breaks.
func (p *Problems) Error() string {
	lines := make([]string, len(p.list))
	for i, e := range p.list {
		lines[i] = e.text
	}
	return strings.Join(lines, "\n")
}

// ExitCode is ExitUsage if there is a problem of that kind, else ExitFailed,
// or ExitOK without problems.
func (p *Problems) ExitCode() int {
	code := ExitOK
	for _, e := range p.list {
		code = max(code, e.code)
	}
	return code
}

// printWarnings writes the warnings, each once, and forgets them.
func (p *Problems) printWarnings(w io.Writer) {
	for _, text := range p.warnings {
		Warn(w, oneLine(text))
	}
	p.warnings = nil
}

// Warn writes a warning as one line of any length.
func Warn(w io.Writer, text string) { _, _ = fmt.Fprintf(w, "lmcache: warning: %s\n", joined(text)) }

// NewProblems returns an empty list for a command that checks at run time.
// Places of values are not known to it.
func NewProblems() *Problems { return newProblems(func(string) (string, bool) { return "", false }) }

// printError writes err, one line for each problem.
func printError(w io.Writer, err error) {
	if p, ok := errors.AsType[*Problems](err); ok {
		for _, e := range p.list {
			_, _ = fmt.Fprintf(w, "lmcache: error: %s\n", oneLine(e.text))
		}
		return
	}
	_, _ = fmt.Fprintf(w, "lmcache: error: %s\n", oneLine(err.Error()))
}

// joined is s with a blank for each line break and tab, and plain otherwise.
func joined(s string) string {
	return plain(strings.NewReplacer("\n", " ", "\r", " ", "\t", " ").Replace(s))
}

// oneLine is s joined and cut at maxLine bytes, on a character's border.
func oneLine(s string) string {
	s = joined(s)
	if len(s) <= maxLine {
		return s
	}
	cut := 0
	for i := range s {
		if i > maxLine-len("…") {
			break
		}
		cut = i
	}
	return s[:cut] + "…"
}

// quote shows a value in a message, cut to a readable length.
func quote(s string) string {
	const most = 40
	if len(s) > most {
		s = s[:most] + "…"
	}
	return fmt.Sprintf("%q", s)
}
