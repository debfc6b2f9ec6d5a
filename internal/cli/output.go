package cli

import (
	"fmt"
	"io"
)

// Output holds the flags of commands that report a result.
type Output struct {
	Format     string `name:"format" group:"Output" default:"terminal" choices:"terminal,json" help:"Form of the result"`
	JSON       bool   `name:"json" group:"Output" help:"Only the values, as one flat JSON document; excludes --format"`
	File       string `name:"output" group:"Output" placeholder:"FILE" help:"Also write the result to this file, which is replaced in one step"`
	Quiet      bool   `name:"quiet" short:"q" group:"Output" help:"Print nothing on stdout"`
	NoProgress bool   `name:"no-progress" group:"Output" help:"Show no progress on stderr"`
}

// Check reports flags that exclude each other.
func (o *Output) Check(p *Problems) {
	if o.JSON && p.IsSet("format") {
		p.Flag("json", "excludes --format (--format json adds a title around the values)")
	}
}

// Emit prints a result in the form that the flags ask for, and writes it to the
// file that they name. Flat is what --json prints: one JSON document; nil
// means the report's own values.
func (o *Output) Emit(w io.Writer, r *Report, flat any) error {
	data, err := o.render(r, flat)
	if err != nil {
		return fmt.Errorf("result: %w", err)
	}
	if !o.Quiet {
		if _, err := w.Write(data); err != nil {
			return fmt.Errorf("stdout: %w", err)
		}
	}
	if o.File == "" {
		return nil
	}
	if err := WriteFile(o.File, data); err != nil {
		return fmt.Errorf("--output: %w", err)
	}
	return nil
}

func (o *Output) render(r *Report, flat any) ([]byte, error) {
	switch {
	case o.JSON && flat != nil:
		return encode(flat)
	case o.JSON:
		return r.MetricsJSON()
	case o.Format == "json":
		return r.JSON()
	}
	return []byte(r.Text()), nil
}
