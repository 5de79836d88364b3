// Package command is the commands of bankmore: what they read, send and print, and the codes with which they exit.
package command

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/bankmore/bankmore/cli/internal/disk"
	"github.com/bankmore/bankmore/cli/internal/journal"
	"github.com/bankmore/bankmore/cli/internal/lang"
	"github.com/bankmore/bankmore/cli/internal/session"
	"github.com/bankmore/bankmore/client"
)

// defaultURL is the ingress of `make run`.
const defaultURL = "http://127.0.0.1:8080"

// Environment is what the program finds where it runs.
type Environment struct {
	In       *os.File
	Out, Err io.Writer
	Getenv   func(string) string
	Keyring  session.Keyring // nil if there is none
	Version  string

	// Of tests only; nil means time.Now and a pause of that length, which ends early with ctx.
	Now   func() time.Time
	Pause func(ctx context.Context, d time.Duration)
}

// app is one run of the program.
type app struct {
	Environment

	l       lang.Language
	json    bool
	profile string

	url    string
	folder string
	client *client.Client
}

// Run runs one command and returns the code to exit with.
func Run(ctx context.Context, env Environment, args []string) int {
	if env.Now == nil {
		env.Now = time.Now
	}
	if env.Pause == nil {
		env.Pause = pause
	}
	a := &app{Environment: env, l: lang.From(env.Getenv)}
	root := a.root()
	root.SetArgs(args)
	root.SetOut(env.Out)
	root.SetErr(env.Err)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return codeDone
	}
	var p *problem
	if !errors.As(err, &p) {
		p = a.other(err)
	}
	a.report(p)
	return p.code
}

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

var profileForm = regexp.MustCompile(`^[a-z0-9_-]{1,32}$`)

// open reads the settings that the commands which call the bank need.
func (a *app) open() error {
	given := a.Getenv("BANKMORE_URL")
	if given == "" {
		given = defaultURL
	}
	u, err := url.Parse(given)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return a.usage("BANKMORE_URL não é um endereço como %s", "BANKMORE_URL is no address like %s", defaultURL)
	}
	a.url = strings.TrimRight(u.String(), "/")
	if a.profile == "" {
		a.profile = a.Getenv("BANKMORE_PROFILE")
	}
	if a.profile == "" {
		a.profile = "default"
	}
	if !profileForm.MatchString(a.profile) {
		return a.usage("o perfil tem de 1 a 32 letras minúsculas, algarismos, - e _", "a profile has 1 to 32 lower-case letters, digits, - and _")
	}
	if a.folder, err = disk.Folder(a.Getenv); err != nil {
		return err
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	a.client = client.New(client.Ingress(a.url), named{transport, "bankmore/" + a.Version})
	return nil
}

// named tells the bank which program calls.
type named struct {
	http.RoundTripper
	name string
}

func (n named) RoundTrip(req *http.Request) (*http.Response, error) {
	req = req.Clone(req.Context())
	req.Header.Set("User-Agent", n.name)
	return n.RoundTripper.RoundTrip(req)
}

func (a *app) sessions() session.Store {
	return session.In(a.folder, a.url, a.profile, a.Keyring)
}

func (a *app) journal() journal.Journal { return journal.In(a.folder) }

// session returns the customer who has logged in.
func (a *app) session() (*client.Session, error) {
	if err := a.open(); err != nil {
		return nil, err
	}
	kept, err := a.sessions().Load()
	switch {
	case errors.Is(err, session.ErrNone):
		return nil, &problem{code: codeNotLoggedIn, message: a.l.Say("Ninguém entrou em %s: use `bankmore login`.", "Nobody has logged in at %s: use `bankmore login`.", a.url)}
	case errors.Is(err, session.ErrKeyring):
		return nil, &problem{code: codeNotLoggedIn, message: a.l.Say("A sessão não pôde ser lida: use `bankmore login`. (%v)", "The session could not be read: use `bankmore login`. (%v)", err)}
	case err != nil:
		return nil, err
	}
	return &client.Session{Client: a.client, Token: kept.Token, Number: kept.Number, Name: kept.Name}, nil
}

// print writes what a command is asked for: the value as JSON with --json, or else the text.
func (a *app) print(value any, text string) error {
	out := []byte(lines(text))
	if a.json {
		var buffer bytes.Buffer
		encoder := json.NewEncoder(&buffer)
		encoder.SetEscapeHTML(false)
		if err := encoder.Encode(value); err != nil {
			return err
		}
		out = buffer.Bytes()
	}
	if _, err := a.Out.Write(out); err != nil {
		return &problem{code: codeOther, message: a.l.Say("A resposta não pôde ser escrita: %v", "The answer could not be written: %v", err)}
	}
	return nil
}

// note writes a remark for people to the standard error. There is none with --json.
func (a *app) note(portuguese, english string, args ...any) {
	if !a.json {
		fmt.Fprintln(a.Err, lines(a.l.Say(portuguese, english, args...)))
	}
}

// takes returns a check of the number of arguments; names are those that may be there.
func (a *app) takes(least int, names ...string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) < least {
			return a.usage("falta %s: veja `%s --help`", "%s is missing: see `%s --help`", names[len(args)], cmd.CommandPath())
		}
		if len(args) > len(names) {
			return a.usage("%q é demais: veja `%s --help`", "%q is too much: see `%s --help`", args[len(names)], cmd.CommandPath())
		}
		return nil
	}
}
