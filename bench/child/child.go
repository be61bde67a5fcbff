// Package child runs parts of a measurement in processes of their own: this
// program, started again in another role. What a server costs is then not mixed
// up with what its clients cost, and each has its own limit of open files.
//
// A child is asked over its standard input and answers over its standard output,
// a line of JSON each. It ends when its standard input does, so that it cannot
// outlive the process that started it.
package child

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"time"
)

// Roles are what this program can be started as, by name.
type Roles map[string]Role

// A Role begins the work of a child, which was given arg. [As] makes one. Its
// context lasts as long as the child.
type Role func(ctx context.Context, arg json.RawMessage) (Work, error)

// As makes a role of a function that takes a value of its own type.
func As[A any](begin func(context.Context, A) (Work, error)) Role {
	return func(ctx context.Context, arg json.RawMessage) (Work, error) {
		var a A
		if err := json.Unmarshal(arg, &a); err != nil {
			return Work{}, err
		}
		return begin(ctx, a)
	}
}

// Work is what has begun.
type Work struct {
	Address  string             // where it is reached, if it is
	Commands map[string]Command // beside those that every child knows
	End      func() error       // nil: there is nothing to be done
}

// A Command answers one question. [To] makes one.
type Command func(ctx context.Context, arg json.RawMessage) (any, error)

// To makes a command of a function that takes and returns values of its own types.
func To[A, R any](do func(context.Context, A) (R, error)) Command {
	return func(ctx context.Context, arg json.RawMessage) (any, error) {
		var a A
		if err := json.Unmarshal(arg, &a); err != nil {
			return nil, err
		}
		return do(ctx, a)
	}
}

// question and answer are the two lines of a conversation. The first answer
// comes unasked: the address of what has begun.
type question struct {
	Command string
	Arg     json.RawMessage
}

type answer struct {
	Value json.RawMessage
	Error string
}

// grace is how long a child may go on after it was to end.
const grace = 10 * time.Second

// Main is the whole program when it was started as a child, and does not return
// then. Any other start it leaves alone. It is called first of all in main, and
// in the TestMain of tests that start children.
func Main(all ...Roles) {
	if len(os.Args) != 4 || os.Args[1] != "child" {
		return
	}
	out := os.Stdout
	os.Stdout = os.Stderr // nobody else may speak to the parent
	if err := run(all, os.Args[2], json.RawMessage(os.Args[3]), os.Stdin, out); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

func run(all []Roles, name string, arg json.RawMessage, in io.Reader, out io.Writer) error {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	questions := make(chan question)
	go func() { // ends with the input, or with the process
		defer close(questions)
		defer cancel()
		defer time.AfterFunc(grace, func() { os.Exit(2) })
		for decoder := json.NewDecoder(in); ; {
			var q question
			if decoder.Decode(&q) != nil {
				return
			}
			questions <- q
		}
	}()
	work, err := begin(ctx, all, name, arg)
	answers := json.NewEncoder(out)
	if e := answers.Encode(reply(work.Address, err)); err != nil || e != nil {
		return errors.Join(err, e)
	}
	for q := range questions {
		value, err := work.answer(ctx, q)
		if err := answers.Encode(reply(value, err)); err != nil {
			return err
		}
	}
	if work.End == nil {
		return nil
	}
	return work.End()
}

func begin(ctx context.Context, all []Roles, name string, arg json.RawMessage) (Work, error) {
	for _, roles := range all {
		if role, ok := roles[name]; ok {
			return role(ctx, arg)
		}
	}
	return Work{}, fmt.Errorf("child: there is no role %q", name)
}

// Begin begins the work of a role in this process.
func (r Roles) Begin(ctx context.Context, name string, arg any) (Work, error) {
	text, err := json.Marshal(arg)
	if err != nil {
		return Work{}, err
	}
	return begin(ctx, []Roles{r}, name, text)
}

func (w Work) answer(ctx context.Context, q question) (any, error) {
	if command, ok := w.Commands[q.Command]; ok {
		return command(ctx, q.Arg)
	}
	if command, ok := everyones[q.Command]; ok {
		return command(ctx, q.Arg)
	}
	return nil, fmt.Errorf("child: there is no command %q", q.Command)
}

func reply(value any, err error) answer {
	if err == nil {
		var text []byte
		if text, err = json.Marshal(value); err == nil {
			return answer{Value: text}
		}
	}
	return answer{Error: err.Error()}
}
