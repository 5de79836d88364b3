package command

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"strings"
	"unicode/utf8"

	"github.com/spf13/cobra"
	"golang.org/x/term"
)

// maxPassword bounds, in bytes, what is read of the standard input. The bank takes passwords of at most 128 characters.
const maxPassword = 4096

func (a *app) addPasswordFlag(cmd *cobra.Command, fromStdin *bool) {
	cmd.Flags().BoolVar(fromStdin, "password-stdin", false, a.l.Say("lê a senha da entrada padrão", "reads the password from the standard input"))
}

func (a *app) terminal() bool { return term.IsTerminal(int(a.In.Fd())) }

// ask asks a question at the terminal and returns the line that is typed. The terminal is as before when ask returns, also if
// ctx ends first.
func (a *app) ask(ctx context.Context, question string, echo bool) (string, error) {
	before, err := term.GetState(int(a.In.Fd()))
	if err != nil {
		return "", err
	}
	fmt.Fprint(a.Err, question)
	line, err := a.await(ctx, func() (string, error) {
		if !echo {
			typed, err := term.ReadPassword(int(a.In.Fd()))
			fmt.Fprintln(a.Err)
			return string(typed), err
		}
		return readLine(a.In)
	})
	if err != nil {
		if ctx.Err() != nil {
			fmt.Fprintln(a.Err)
			err = errors.Join(err, term.Restore(int(a.In.Fd()), before))
		}
		if errors.Is(err, io.EOF) {
			return "", a.usage("a entrada terminou", "the input has ended")
		}
	}
	return line, err
}

// await returns what read returns, or the interruption if ctx ends first.
func (a *app) await(ctx context.Context, read func() (string, error)) (string, error) {
	type answer struct {
		text string
		err  error
	}
	answers := make(chan answer, 1)
	go func() {
		text, err := read()
		answers <- answer{text, err}
	}()
	select {
	case got := <-answers:
		return got.text, got.err
	case <-ctx.Done():
		return "", a.interrupted()
	}
}

// readLine reads one line and nothing behind it, which may answer the next question.
func readLine(from io.Reader) (string, error) {
	var line []byte
	for one := make([]byte, 1); ; {
		n, err := from.Read(one)
		if n == 1 && one[0] == '\n' || errors.Is(err, io.EOF) && len(line) > 0 {
			return strings.TrimSpace(string(line)), nil
		}
		if err != nil {
			return "", err
		}
		line = append(line, one[:n]...)
	}
}

// readPassword reads the whole standard input. One line end at its end is no part of the password.
func (a *app) readPassword(ctx context.Context) (string, error) {
	text, err := a.await(ctx, func() (string, error) {
		text, err := io.ReadAll(io.LimitReader(a.In, maxPassword+1))
		text = bytes.TrimSuffix(bytes.TrimSuffix(text, []byte("\n")), []byte("\r"))
		return string(text), err
	})
	if err != nil {
		return "", err
	}
	return a.checked(text)
}

// checked refuses a password that would not reach the bank as it is.
func (a *app) checked(password string) (string, error) {
	if password == "" {
		return "", a.usage("a senha está vazia", "the password is empty")
	}
	if len(password) > maxPassword || !utf8.ValidString(password) || strings.ContainsAny(password, "\r\n") {
		return "", a.usage("a senha não é uma linha de texto UTF-8", "the password is not one line of UTF-8 text")
	}
	return password, nil
}

// warnClear warns if the password would travel in the clear over a network.
func (a *app) warnClear() {
	u, err := url.Parse(a.url)
	if err != nil || u.Scheme == "https" || u.Hostname() == "localhost" {
		return
	}
	if ip := net.ParseIP(u.Hostname()); ip != nil && ip.IsLoopback() {
		return
	}
	a.note("Atenção: %s não é https; quem está na rede pode ler a senha.", "Warning: %s is not https; whoever is on the network can read the password.", a.url)
}
