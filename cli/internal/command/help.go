package command

import (
	"errors"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// helpText is what the help says of a command or a topic, in one language.
type helpText struct {
	use, short, long, example string
}

// root returns the command tree in the language of the user.
func (a *app) root() *cobra.Command {
	root := a.describe(&cobra.Command{
		SilenceErrors: true, SilenceUsage: true,
		CompletionOptions: cobra.CompletionOptions{DisableDefaultCmd: true},
		Version:           a.Version,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return nil
			}
			hint := ""
			if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
				hint = a.l.Say(" (seria `%s`?)", " (`%s`, perhaps?)", near[0])
			}
			return a.usage("não há comando %q%s: veja `bankmore help`", "there is no command %q%s: see `bankmore help`", args[0], hint)
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}, "")
	root.PersistentFlags().BoolVar(&a.json, "json", false, a.l.Say("responde em JSON, para scripts", "answers in JSON, for scripts"))
	root.PersistentFlags().StringVar(&a.profile, "profile", "", a.l.Say("`NOME` da sessão, para quem tem mais de uma conta", "`NAME` of the session, for who has more than one account"))
	root.Flags().Bool("version", false, a.l.Say("mostra a versão", "shows the version"))
	root.SetVersionTemplate("{{.DisplayName}} {{.Version}}\n")
	root.SetUsageTemplate(a.l.Say(usagePortuguese, usageEnglish))
	root.SetHelpTemplate("{{.Long}}\n{{if not .IsAdditionalHelpTopicCommand}}\n{{.UsageString}}{{end}}") // a topic has no usage
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error { return a.flagProblem(cmd, err) })
	root.SuggestionsMinimumDistance = 2
	for _, c := range []struct {
		name    string
		command *cobra.Command
	}{
		{"register", a.register()}, {"login", a.login()}, {"logout", a.logout()}, {"balance", a.balance()}, {"deposit", a.deposit()},
		{"withdraw", a.withdrawal()}, {"transfer", a.transfer()}, {"transfers", a.transfers()}, {"statement", a.statement()}, {"fees", a.fees()},
		{"pending", a.pending()}, {"completion", a.completion()},
		{"payments", &cobra.Command{}}, {"exit-codes", &cobra.Command{}}, {"environment", &cobra.Command{}},
	} {
		root.AddCommand(a.describe(c.command, c.name))
	}
	root.SetHelpCommand(a.help(root))
	return root
}

// help is the command that shows the help of another command, or of a topic.
func (a *app) help(root *cobra.Command) *cobra.Command {
	return a.describe(&cobra.Command{RunE: func(_ *cobra.Command, args []string) error {
		about, rest, err := root.Find(args)
		if err != nil || len(rest) > 0 {
			return a.usage("não há ajuda sobre %q: veja `bankmore help`", "there is no help on %q: see `bankmore help`", strings.Join(args, " "))
		}
		return about.Help()
	}}, "help")
}

// describe gives a command its help.
func (a *app) describe(cmd *cobra.Command, name string) *cobra.Command {
	text := texts[name][a.l]
	cmd.Use, cmd.Short, cmd.Long, cmd.Example = text.use, text.short, strings.TrimSpace(text.long), strings.Trim(text.example, "\n")
	cmd.DisableFlagsInUseLine = true
	cmd.Flags().BoolP("help", "h", false, a.l.Say("mostra esta ajuda", "shows this help"))
	return cmd
}

// flagProblem says in the language of the user what pflag finds wrong.
func (a *app) flagProblem(cmd *cobra.Command, err error) error {
	var (
		unknown *pflag.NotExistError
		missing *pflag.ValueRequiredError
		invalid *pflag.InvalidValueError
	)
	see := a.l.Say(": veja `%s --help`", ": see `%s --help`", cmd.CommandPath())
	switch {
	case errors.As(err, &unknown):
		name := "--" + unknown.GetSpecifiedName()
		if short := unknown.GetSpecifiedShortnames(); short != "" {
			name = "-" + short
		}
		return a.usage("não há opção %s%s", "there is no option %s%s", name, see)
	case errors.As(err, &missing):
		return a.usage("--%s precisa de um valor%s", "--%s needs a value%s", missing.GetFlag().Name, see)
	case errors.As(err, &invalid):
		return a.usage("--%s não aceita %q%s", "--%s does not take %q%s", invalid.GetFlag().Name, invalid.GetValue(), see)
	}
	return a.usage("%v%s", "%v%s", err, see)
}

func (a *app) completion() *cobra.Command {
	return &cobra.Command{
		Args: a.takes(1, "SHELL"), ValidArgs: []string{"bash", "zsh", "fish", "powershell"},
		RunE: func(cmd *cobra.Command, args []string) error {
			var script strings.Builder
			var err error
			switch root := cmd.Root(); args[0] {
			case "bash":
				err = root.GenBashCompletionV2(&script, true)
			case "zsh":
				err = root.GenZshCompletion(&script)
			case "fish":
				err = root.GenFishCompletion(&script, true)
			case "powershell":
				err = root.GenPowerShellCompletionWithDesc(&script)
			default:
				return a.usage("não conheço %q: bash, zsh, fish ou powershell", "%q is not known: bash, zsh, fish or powershell", args[0])
			}
			if err != nil {
				return err
			}
			return a.print(map[string]string{"script": script.String()}, script.String())
		},
	}
}

const usagePortuguese = `Uso:
{{- if .Runnable}}
  {{.UseLine}}
{{- end}}
{{- if .HasAvailableSubCommands}}
  {{.CommandPath}} COMANDO
{{- end}}
{{- if .HasExample}}

Exemplos:
{{.Example}}
{{- end}}
{{- if .HasAvailableSubCommands}}

Comandos:
{{- range .Commands}}{{if .IsAvailableCommand}}
  {{rpad .Name .NamePadding}} {{.Short}}{{end}}{{end}}
{{- end}}
{{- if .HasAvailableLocalFlags}}

Opções:
{{.LocalFlags.FlagUsages | trimTrailingWhitespaces}}
{{- end}}
{{- if .HasAvailableInheritedFlags}}

Opções de todos os comandos:
{{.InheritedFlags.FlagUsages | trimTrailingWhitespaces}}
{{- end}}
{{- if .HasHelpSubCommands}}

Assuntos (bankmore help ASSUNTO):
{{- range .Commands}}{{if .IsAdditionalHelpTopicCommand}}
  {{rpad .Name 11}} {{.Short}}{{end}}{{end}}
{{- end}}
`

var usageEnglish = strings.NewReplacer(
	"Uso:", "Usage:", "COMANDO", "COMMAND", "Exemplos:", "Examples:", "Comandos:", "Commands:", "Opções:", "Options:",
	"Opções de todos os comandos:", "Options of every command:", "Assuntos (bankmore help ASSUNTO):", "Topics (bankmore help TOPIC):",
).Replace(usagePortuguese)
