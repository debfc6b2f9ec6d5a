package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"github.com/lmcache-go/lmcache/internal/admin"
	"github.com/lmcache-go/lmcache/internal/cli"
)

// promptFlags name a prompt.
type promptFlags struct {
	Model     string `name:"model" group:"Client" placeholder:"NAME" help:"Model of the prompt, as its workers call it (required)"`
	WorldSize int    `name:"world-size" group:"Client" default:"1" min:"1" max:"255" help:"Ranks of the model with different KV"`
	Salt      string `name:"salt" group:"Client" help:"Tenant of the prompt (default: none)"`
	Tokens    string `name:"tokens" group:"Client" placeholder:"N,N,…" help:"Token ids of the prompt"`
	File      string `name:"tokens-file" group:"Client" placeholder:"FILE" help:"File with the token ids, with commas or white space between them; - is stdin"`

	tokens []int32
}

// check reports what is missing, and tokens that are none.
func (f *promptFlags) check(p *cli.Problems) {
	if f.Model == "" {
		p.Flag("model", "is required")
	}
	switch {
	case f.Tokens != "" && f.File != "":
		p.Flag("tokens-file", "excludes --tokens")
	case f.Tokens == "" && f.File == "":
		p.Flag("tokens", "or --tokens-file is required")
	case f.Tokens != "":
		var err error
		if f.tokens, err = tokenIDs(f.Tokens); err != nil {
			p.Flag("tokens", "%v", err)
		}
	}
}

// prompt is what the flags name; it reads the file.
func (f *promptFlags) prompt(stdin io.Reader) (admin.Prompt, error) {
	p := admin.Prompt{Model: f.Model, WorldSize: f.WorldSize, Salt: f.Salt, Tokens: f.tokens}
	if f.File == "" {
		return p, nil
	}
	data, err := f.read(stdin)
	if err == nil {
		p.Tokens, err = tokenIDs(string(data))
	}
	if err != nil {
		return p, fmt.Errorf("--tokens-file: %w", err)
	}
	return p, nil
}

// maxTokenFile is the most bytes that are read: as many make no request any more.
const maxTokenFile = 4 * admin.MaxRequest

func (f *promptFlags) read(stdin io.Reader) ([]byte, error) {
	from := stdin
	if f.File != "-" {
		file, err := os.Open(f.File)
		if err != nil {
			return nil, err
		}
		defer func() { _ = file.Close() }()
		from = file
	}
	data, err := io.ReadAll(io.LimitReader(from, maxTokenFile+1))
	if err == nil && len(data) > maxTokenFile {
		err = fmt.Errorf("it has more than %d bytes, which no prompt needs", maxTokenFile)
	}
	return data, err
}

// errNoTokens says that a prompt is empty.
var errNoTokens = errors.New("there are no token ids in it")

// tokenIDs reads numbers with commas or white space between them; brackets around them,
// as of a JSON list, do not matter.
func tokenIDs(text string) ([]int32, error) {
	text = strings.TrimSuffix(strings.TrimPrefix(strings.TrimSpace(text), "["), "]")
	words := strings.FieldsFunc(text, func(r rune) bool { return r == ',' || r == ' ' || r == '\t' || r == '\n' || r == '\r' })
	ids := make([]int32, len(words))
	for i, word := range words {
		n, err := strconv.ParseUint(word, 10, 31)
		if err != nil {
			return nil, fmt.Errorf("token %d must be a whole number from 0 to 2147483647, got %.40q", i, word)
		}
		ids[i] = int32(n)
	}
	return ids, nil
}
