package cli

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/alecthomas/kong"
	"go.yaml.in/yaml/v3"
)

// maxConfig bounds the size of a configuration file in bytes.
const maxConfig = 1 << 20

// fileValue is the value of one key.
type fileValue struct {
	texts []string // one, or the elements of a list
	where string   // file:line
}

// configFile is a configuration file whose keys have been checked.
type configFile struct {
	path     string
	problems *Problems
	sections map[*kong.Node]map[string]fileValue
}

// readConfig reads a YAML file and checks its keys against the grammar. It
// returns nil if there is nothing to read values from.
func readConfig(path string, app *kong.Application, problems *Problems) *configFile {
	data, mode, err := readSmall(path)
	if err != nil {
		problems.Machine("config", "%v", err)
		return nil
	}
	var doc yaml.Node
	dec := yaml.NewDecoder(strings.NewReader(string(data)))
	switch err := dec.Decode(&doc); {
	case errors.Is(err, io.EOF):
		return nil
	case err != nil:
		problems.Usage("%s", yamlError(path, err))
		return nil
	}
	if dec.Decode(&yaml.Node{}) == nil {
		problems.Usage("%s: holds more than one YAML document", path)
		return nil
	}
	f := &configFile{path: path, problems: problems, sections: map[*kong.Node]map[string]fileValue{}}
	f.section(app.Node, doc.Content[0])
	if secret := secretKey(&doc); secret != "" && mode.Perm()&0o044 != 0 {
		problems.Warn("%s holds %q and can be read by other users (chmod 600 %s)", path, secret, path)
	}
	return f
}

// readSmall reads a file of at most maxConfig bytes.
func readSmall(path string) ([]byte, fs.FileMode, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, 0, err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return nil, 0, err
	}
	data, err := io.ReadAll(io.LimitReader(file, maxConfig+1))
	if err == nil && len(data) > maxConfig {
		err = fmt.Errorf("%s is larger than %d bytes", path, maxConfig)
	}
	return data, info.Mode(), err
}

var yamlLine = regexp.MustCompile(`^yaml: line (\d+): `)

// yamlError puts file and line in front of the parser's words.
func yamlError(path string, err error) string {
	text := err.Error()
	if m := yamlLine.FindStringSubmatch(text); m != nil {
		return path + ":" + m[1] + ": " + text[len(m[0]):]
	}
	return path + ": " + strings.TrimPrefix(text, "yaml: ")
}

func (f *configFile) where(n *yaml.Node) string { return f.path + ":" + strconv.Itoa(n.Line) }

// section checks the keys of one mapping, those of the application or of a command.
func (f *configFile) section(node *kong.Node, m *yaml.Node) {
	m = target(m)
	if m.Kind == yaml.ScalarNode && m.Tag == "!!null" {
		return
	}
	if m.Kind != yaml.MappingNode {
		f.problems.Usage("%s: %s must hold keys and values, got %s", f.where(m), sectionName(node), kindName(m))
		return
	}
	values, lines := map[string]fileValue{}, map[string]int{}
	f.sections[node] = values
	for i := 0; i+1 < len(m.Content); i += 2 {
		key, value := m.Content[i], target(m.Content[i+1])
		name := strings.ReplaceAll(key.Value, "_", "-")
		if line, twice := lines[name]; twice {
			f.problems.Usage("%s: key %s is there already in line %d", f.where(key), quote(key.Value), line)
			continue
		}
		lines[name] = key.Line
		f.entry(node, key, name, value, values)
	}
}

// entry takes one key of a section: a command's name or a flag's.
func (f *configFile) entry(node *kong.Node, key *yaml.Node, name string, value *yaml.Node, values map[string]fileValue) {
	for _, child := range node.Children {
		if child.Name == name && !child.Hidden {
			f.section(child, value)
			return
		}
	}
	if name == "config" {
		f.problems.Usage("%s: config cannot be set in a configuration file", f.where(key))
		return
	}
	flags := settable(node)
	i := slices.IndexFunc(flags, func(flag *kong.Flag) bool { return flag.Name == name })
	if i < 0 {
		names := visibleNames(flags)
		for _, child := range node.Children {
			names = append(names, child.Name)
		}
		f.problems.Usage("%s: unknown key %s%s", f.where(key), quote(key.Value), didYouMean("", name, names))
		return
	}
	if value.Kind == yaml.ScalarNode && value.Tag == "!!null" {
		return // the same as an empty environment variable: not set
	}
	texts, ok := f.texts(flags[i], key, value)
	if ok {
		values[name] = fileValue{texts: texts, where: f.where(key)}
	}
}

// settable are the flags that a section may set: those of its command, of the
// commands below and of those above.
func settable(node *kong.Node) []*kong.Flag {
	s := scanner{node: node}
	return slices.DeleteFunc(s.candidates(), func(f *kong.Flag) bool { return f.Name == "help" })
}

// texts turns a value into the form that flags are decoded from.
func (f *configFile) texts(flag *kong.Flag, key, value *yaml.Node) ([]string, bool) {
	switch {
	case flag.Tag.Has("json"):
		return f.jsonValues(key, value)
	case value.Kind == yaml.ScalarNode:
		text, ok := f.expand(value)
		return []string{text}, ok
	case flag.Tag.Has("treat"):
		return []string{kindName(value)}, true // refused as a whole; what it holds does not matter
	case value.Kind == yaml.SequenceNode && flag.IsSlice():
		var texts []string
		for _, element := range value.Content {
			element = target(element)
			if element.Kind != yaml.ScalarNode {
				f.problems.Usage("%s: %s must be a list of single values, got %s", f.where(element), key.Value, kindName(element))
				return nil, false
			}
			text, ok := f.expand(element)
			if !ok {
				return nil, false
			}
			texts = append(texts, text)
		}
		return texts, true
	}
	f.problems.Usage("%s: %s must be a single value, got %s", f.where(key), key.Value, kindName(value))
	return nil, false
}

var variable = regexp.MustCompile(`\$\{([A-Za-z_][A-Za-z0-9_]*)\}`)

// expand replaces ${NAME} in a text value from the environment.
func (f *configFile) expand(value *yaml.Node) (string, bool) {
	if value.Tag != "!!str" {
		return value.Value, true
	}
	ok := true
	text := variable.ReplaceAllStringFunc(value.Value, func(ref string) string {
		name := ref[len("${") : len(ref)-len("}")]
		v, set := f.problems.LookupEnv(name)
		if !set {
			f.problems.Usage("%s: environment variable %s is not set", f.where(value), name)
			ok = false
		}
		return v
	})
	return text, ok
}

// lookup finds a flag's value for a command: in the command's section, then in
// those of the commands above it, last among the top-level keys.
func (f *configFile) lookup(node *kong.Node, name string) (fileValue, bool) {
	for n := node; n != nil; n = n.Parent {
		if v, ok := f.sections[n][name]; ok {
			return v, true
		}
	}
	return fileValue{}, false
}

// target follows an alias to its anchor.
func target(n *yaml.Node) *yaml.Node {
	if n.Kind == yaml.AliasNode {
		return n.Alias
	}
	return n
}

func sectionName(node *kong.Node) string {
	if node.Parent == nil {
		return "the file"
	}
	return "section " + quote(node.Path())
}

// kindName names the kind of a YAML value in messages.
func kindName(n *yaml.Node) string {
	switch n.Kind {
	case yaml.SequenceNode:
		return "a list"
	case yaml.MappingNode:
		return "keys and values"
	case yaml.DocumentNode, yaml.ScalarNode, yaml.AliasNode:
	}
	return quote(n.Value)
}

var secretName = regexp.MustCompile(`(?i)(password|passwd|secret|token|credential|private[-_]key|access[-_]key|api[-_]key)`)

// secretKey is the first key that is named like a secret and holds a value;
// keys that name a file do not count.
func secretKey(n *yaml.Node) string {
	for i, child := range n.Content {
		isKey := n.Kind == yaml.MappingNode && i%2 == 0
		if isKey && secretName.MatchString(child.Value) && !fileName.MatchString(child.Value) && variable.ReplaceAllString(n.Content[i+1].Value, "") != "" {
			return child.Value
		}
		if found := secretKey(child); found != "" {
			return found
		}
	}
	return ""
}

var fileName = regexp.MustCompile(`(?i)[-_](file|path)$`)
