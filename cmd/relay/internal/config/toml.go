package config

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/pelletier/go-toml/v2"
	"github.com/pelletier/go-toml/v2/unstable"
)

// An entry is what one key of the file holds, where it stands, and what it is:
// "logging.log_dir", a component in quotes if it has to be.
type entry struct {
	key          string
	value        any
	line, column int
}

// readTOML returns the entries of a file in their order there. A table is one
// only if it is empty, or if isTable does not expect one there.
func readTOML(path string, isTable func(key string) bool) ([]entry, error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return nil, err // names the file
	}
	var root map[string]any
	if err := toml.Unmarshal(content, &root); err != nil {
		return nil, syntaxProblem(path, err)
	}
	positions := keyPositions(content)
	var entries []entry
	var collect func(prefix string, table map[string]any)
	collect = func(prefix string, table map[string]any) {
		for name, value := range table {
			key := join(prefix, name)
			if sub, ok := value.(map[string]any); ok && len(sub) > 0 && isTable(key) {
				collect(key, sub)
				continue
			}
			at := positions[key]
			entries = append(entries, entry{key, value, at.Line, at.Column})
		}
	}
	collect("", root)
	slices.SortFunc(entries, func(a, b entry) int {
		return cmp.Or(cmp.Compare(a.line, b.line), cmp.Compare(a.column, b.column), cmp.Compare(a.key, b.key))
	})
	return entries, nil
}

// syntaxProblem shows nothing of the file but the place: there may be a secret.
func syntaxProblem(path string, err error) error {
	at, ok := errors.AsType[*toml.DecodeError](err)
	if !ok {
		return &Problem{Where: path, What: "no TOML: " + strings.TrimPrefix(err.Error(), "toml: ")}
	}
	line, column := at.Position()
	return &Problem{Where: fmt.Sprintf("%s:%d:%d", path, line, column), What: "no TOML: " + strings.TrimPrefix(at.Error(), "toml: ")}
}

// keyPositions returns where each key of a sound file stands, tables included:
// the decoder does not tell.
func keyPositions(content []byte) map[string]unstable.Position {
	positions := make(map[string]unstable.Position)
	var p unstable.Parser
	// note returns the whole key of a node, under prefix.
	note := func(prefix string, node *unstable.Node) string {
		key := prefix
		for parts := node.Key(); parts.Next(); {
			key = join(key, string(parts.Node().Data))
			if _, known := positions[key]; !known {
				positions[key] = p.Shape(parts.Node().Raw).Start
			}
		}
		return key
	}
	var inline func(key string, value *unstable.Node)
	inline = func(key string, value *unstable.Node) {
		if value.Kind != unstable.InlineTable {
			return
		}
		for parts := value.Children(); parts.Next(); {
			inline(note(key, parts.Node()), parts.Node().Value())
		}
	}
	p.Reset(content)
	table := ""
	for p.NextExpression() {
		switch node := p.Expression(); node.Kind {
		case unstable.Table, unstable.ArrayTable:
			table = note("", node)
		case unstable.KeyValue:
			inline(note(table, node), node.Value())
		}
	}
	return positions
}

// join appends a component to a key.
func join(key, name string) string {
	bare := name != "" && strings.Trim(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-") == ""
	if !bare {
		name = strconv.Quote(name)
	}
	if key == "" {
		return name
	}
	return key + "." + name
}

// typeName says what a value of the file is.
func typeName(value any) string {
	switch value.(type) {
	case string:
		return "a string"
	case int64:
		return "a whole number"
	case float64:
		return "a number with a fraction"
	case bool:
		return "true or false"
	case map[string]any:
		return "a table"
	case []any:
		return "an array"
	}
	return "a date or a time"
}
