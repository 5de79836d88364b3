package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"time"

	"github.com/bankmore/bankmore/ops/internal/deadletter"
	"github.com/bankmore/bankmore/platform/service"
)

// deadLetters shows the dead letters, or puts some back.
func deadLetters(ctx context.Context, out io.Writer, flags *flag.FlagSet, args []string) error {
	if len(args) == 0 {
		return listDeadLetters(ctx, out)
	}
	if args[0] != "replay" {
		return fmt.Errorf("%w: %q", service.ErrUsage, args[0])
	}
	again := flags.Bool("again", false, "also what was put back before")
	if err := service.Parse(flags, args[1:]); err != nil {
		return err
	}
	chosen, err := choose(flags.Args())
	if err != nil {
		return fmt.Errorf("%w: %w", service.ErrUsage, err)
	}
	return replay(ctx, out, chosen, *again)
}

func listDeadLetters(ctx context.Context, out io.Writer) error {
	client, err := deadletter.Connect()
	if err != nil {
		return err
	}
	defer client.Close()
	letters, err := deadletter.List(ctx, client)
	if err != nil {
		return err
	}
	putBack := 0
	for _, l := range letters {
		why, state := "can be understood", ""
		if l.Why != nil {
			why = l.Why.Error()
		}
		if !l.PutBack.IsZero() {
			putBack++
			state = "put back " + l.PutBack.UTC().Format(time.RFC3339) + ", "
		}
		fmt.Fprintf(out, "%s  %s  %d bytes, id %.130q, %s%.300q\n", l.Position, l.At.UTC().Format(time.RFC3339), l.Size, l.ID, state, why)
	}
	fmt.Fprintf(out, "%d dead letters, %d put back\n", len(letters), putBack)
	return nil
}

// choice says which letters to put back.
type choice struct {
	all   bool // all that can be understood: fee-svc would only reject the others again
	named map[deadletter.Position]bool
}

func choose(args []string) (choice, error) {
	if len(args) == 1 && args[0] == "all" {
		return choice{all: true}, nil
	}
	if len(args) == 0 {
		return choice{}, errors.New("replay what? all, or PARTITION:OFFSET as in the list")
	}
	c := choice{named: map[deadletter.Position]bool{}}
	for _, arg := range args {
		p, err := deadletter.ParsePosition(arg)
		if err != nil {
			return choice{}, err
		}
		c.named[p] = true
	}
	return c, nil
}

func replay(ctx context.Context, out io.Writer, c choice, again bool) error {
	client, err := deadletter.Connect()
	if err != nil {
		return err
	}
	defer client.Close()
	letters, err := deadletter.List(ctx, client)
	if err != nil {
		return err
	}
	chosen, before, left := map[deadletter.Position]bool{}, 0, 0
	for _, l := range letters {
		named := c.named[l.Position]
		delete(c.named, l.Position)
		switch {
		case !named && !c.all:
		case !l.PutBack.IsZero() && !again:
			before++
		case c.all && l.Why != nil:
			left++
		default:
			chosen[l.Position] = true
		}
	}
	for p := range c.named {
		return fmt.Errorf("there is no dead letter at %s", p)
	}
	done, err := deadletter.Replay(ctx, client, chosen)
	for _, p := range done {
		fmt.Fprintf(out, "%s put back\n", p)
	}
	fmt.Fprintf(out, "%d put back, %d had been before, %d cannot be understood and stay\n", len(done), before, left)
	return err
}
