package command

import (
	"context"
	"net/http/httptrace"

	"github.com/spf13/cobra"

	"github.com/bankmore/bankmore/cli/internal/amount"
	"github.com/bankmore/bankmore/cli/internal/session"
)

func (a *app) register() *cobra.Command {
	var fromStdin bool
	cmd := &cobra.Command{Args: a.takes(0, "CPF", a.l.Say("NOME", "NAME")), RunE: func(cmd *cobra.Command, args []string) error {
		if err := a.open(); err != nil {
			return err
		}
		ctx := cmd.Context()
		asked, err := a.answers(ctx, args, fromStdin, "CPF", a.l.Say("Nome", "Name"))
		if err != nil {
			return err
		}
		password, err := a.password(ctx, fromStdin, true)
		if err != nil {
			return err
		}
		a.warnClear()
		connected := false
		traced := httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotConn: func(httptrace.GotConnInfo) { connected = true }})
		number, err := a.client.Register(traced, asked[0], asked[1], password)
		if err != nil {
			p := a.explain(ctx, err)
			if connected && (p.code == codeUnavailable || p.code == codeInterrupted) {
				p.code = codeUnknown
				p.message += a.l.Say(" O mesmo comando, repetido, abre uma só conta.", " The same command, repeated, opens one account.")
			}
			return p
		}
		return a.print(map[string]string{"account_number": number}, a.l.Say(
			"Conta %s aberta. Agora entre: bankmore login\n", "Account %s is open. Now log in: bankmore login\n", number))
	}}
	a.addPasswordFlag(cmd, &fromStdin)
	return cmd
}

func (a *app) login() *cobra.Command {
	var fromStdin bool
	cmd := &cobra.Command{Args: a.takes(0, "CPF"), RunE: func(cmd *cobra.Command, args []string) error {
		if err := a.open(); err != nil {
			return err
		}
		ctx := cmd.Context()
		asked, err := a.answers(ctx, args, fromStdin, "CPF")
		if err != nil {
			return err
		}
		password, err := a.password(ctx, fromStdin, false)
		if err != nil {
			return err
		}
		a.warnClear()
		s, err := a.client.Login(ctx, asked[0], password)
		if err != nil {
			p := a.explain(ctx, err)
			if p.kind == "USER_UNAUTHORIZED" {
				p.code, p.message = codeRefused, a.reason(p.kind, "")
			}
			return p
		}
		inKeyring, err := a.sessions().Save(session.Session{URL: a.url, Number: s.Number, Name: s.Name, Token: s.Token})
		if err != nil {
			return err
		}
		where := a.l.Say("um arquivo que só você lê", "a file that only you can read")
		if inKeyring {
			where = a.l.Say("chaveiro do sistema", "the system's keyring")
		}
		return a.print(map[string]any{"account_number": s.Number, "account_name": s.Name, "in_keyring": inKeyring}, a.l.Say(
			"Olá, %s! Conta %s. A sessão está guardada: %s.\n", "Hello, %s! Account %s. The session is kept: %s.\n", visible(s.Name), s.Number, where))
	}}
	a.addPasswordFlag(cmd, &fromStdin)
	return cmd
}

func (a *app) logout() *cobra.Command {
	return &cobra.Command{Args: a.takes(0), RunE: func(*cobra.Command, []string) error {
		if err := a.open(); err != nil {
			return err
		}
		if err := a.sessions().Delete(); err != nil {
			return err
		}
		return a.print(map[string]bool{"logged_in": false}, a.l.Say("Sessão encerrada nesta máquina.\n", "Logged out on this machine.\n"))
	}}
}

func (a *app) balance() *cobra.Command {
	return &cobra.Command{Args: a.takes(0), RunE: func(cmd *cobra.Command, _ []string) error {
		s, err := a.session()
		if err != nil {
			return err
		}
		balance, err := s.Balance(cmd.Context())
		if err != nil {
			return a.explain(cmd.Context(), err)
		}
		return a.print(map[string]string{"account_number": s.Number, "account_name": s.Name, "balance": balance}, a.l.Say(
			"Conta %s, %s\nSaldo: %s\n", "Account %s, %s\nBalance: %s\n", s.Number, visible(s.Name), amount.Format(a.l, balance)))
	}}
}

// answers returns the arguments, and asks at the terminal for those that are missing.
func (a *app) answers(ctx context.Context, args []string, fromStdin bool, names ...string) ([]string, error) {
	for _, name := range names[len(args):] {
		if fromStdin || !a.terminal() {
			return nil, a.usage("falta %s, e não há terminal para perguntar", "%s is missing, and there is no terminal to ask at", name)
		}
		answer, err := a.ask(ctx, name+": ", true)
		if err != nil {
			return nil, err
		}
		if answer == "" {
			return nil, a.usage("falta %s", "%s is missing", name)
		}
		args = append(args, answer)
	}
	return args, nil
}

// password asks at the terminal, without showing what is typed, or reads the standard input.
func (a *app) password(ctx context.Context, fromStdin, twice bool) (string, error) {
	if fromStdin {
		return a.readPassword(ctx)
	}
	if !a.terminal() {
		return "", a.usage("não há terminal para perguntar a senha: use --password-stdin", "there is no terminal to ask for the password: use --password-stdin")
	}
	password, err := a.ask(ctx, a.l.Say("Senha: ", "Password: "), false)
	if err != nil {
		return "", err
	}
	if twice {
		again, err := a.ask(ctx, a.l.Say("Senha, de novo: ", "Password, again: "), false)
		if err != nil {
			return "", err
		}
		if again != password {
			return "", a.usage("as senhas são diferentes", "the passwords are different")
		}
	}
	return a.checked(password)
}
