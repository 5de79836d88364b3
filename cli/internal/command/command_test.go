package command_test

import (
	"context"
	"encoding/json"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/creack/pty"
	"github.com/zalando/go-keyring"
)

// Only its owner can read what the program keeps.
func TestFilesAreTheOwners(t *testing.T) {
	b := newBank(t)
	m := atTerminal(t, b.URL)
	contains(t, m.loggedIn().wants(0, "balance"), "Balance: R$ 1,234.56")
	b.then(four...)
	m.wants(6, "deposit", "1.00")
	files := 0
	err := filepath.WalkDir(m.env["XDG_STATE_HOME"]+"/bankmore", func(path string, entry os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		want := os.FileMode(0o600)
		if entry.IsDir() {
			want = 0o700
		} else {
			files++
		}
		if info.Mode().Perm() != want {
			t.Errorf("%s has mode %o, want %o", path, info.Mode().Perm(), want)
		}
		return nil
	})
	if err != nil || files < 3 { // session, key, lock
		t.Errorf("%d files, %v", files, err)
	}
}

// A session is one bank's, and one profile's; logout forgets it.
func TestSession(t *testing.T) {
	b := newBank(t)
	m := atTerminal(t, b.URL)
	contains(t, m.wants(4, "balance"), "Nobody has logged in")
	m.loggedIn()
	contains(t, m.wants(0, "balance"), "Account 7907027952, Ana Souza")
	m.wants(4, "balance", "--profile", "other")
	m.env["BANKMORE_PROFILE"] = "other"
	m.wants(4, "balance")
	m.wants(0, "balance", "--profile", "default")
	m.env["BANKMORE_PROFILE"] = ""
	m.env["BANKMORE_URL"] = newBank(t).URL
	m.wants(4, "balance")
	m.env["BANKMORE_URL"] = b.URL + "/"
	m.wants(0, "balance")
	m.wants(0, "logout")
	m.wants(4, "balance")
	m.wants(0, "logout")
}

// A keyring, if there is one, has the token, and no file has it.
func TestKeyring(t *testing.T) {
	b := newBank(t)
	for what, test := range map[string]struct {
		fails     error
		inKeyring string
		inFile    bool
	}{
		"a keyring that works":      {nil, `"in_keyring":true`, false},
		"a keyring that is refused": {keyring.ErrUnsupportedPlatform, `"in_keyring":false`, true},
	} {
		t.Run(what, func(t *testing.T) {
			keyring.MockInit()
			if test.fails != nil {
				keyring.MockInitWithError(test.fails)
			}
			m := atTerminal(t, b.URL)
			m.keyring = mock{}
			m.in = input(t, "senha-da-ana")
			contains(t, m.wants(0, "login", "52998224725", "--password-stdin", "--json"), test.inKeyring)
			if kept := m.kept(); strings.Contains(kept, b.token) != test.inFile {
				t.Errorf("files: %s", kept)
			}
			m.wants(0, "balance")
			if !test.inFile {
				m.keyring = nil
				contains(t, m.wants(4, "balance"), "there is no keyring")
				m.keyring = mock{}
				// Another customer's login was cut short between keyring and file: no money leaves the wrong account.
				if err := keyring.Set("bankmore", "default "+b.URL, "the-token-of-another"); err != nil {
					t.Fatal(err)
				}
				contains(t, m.wants(4, "transfer", "1048576021", "150.00"), "bankmore login")
				m.loggedIn().wants(0, "balance")
			}
			m.wants(0, "logout")
			m.wants(4, "balance")
			if _, err := keyring.Get("bankmore", "default "+b.URL); err == nil {
				t.Error("the keyring has the token after logout")
			}
		})
	}
}

// mock is go-keyring, whose tests' store MockInit puts in place of the system's.
type mock struct{}

func (mock) Set(service, user, secret string) error   { return keyring.Set(service, user, secret) }
func (mock) Get(service, user string) (string, error) { return keyring.Get(service, user) }
func (mock) Delete(service, user string) error        { return keyring.Delete(service, user) }

// kept is the content of the session files.
func (m *terminal) kept() string {
	paths, err := filepath.Glob(m.env["XDG_STATE_HOME"] + "/bankmore/sessions/*")
	if err != nil {
		m.t.Fatal(err)
	}
	var all string
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			m.t.Fatal(err)
		}
		all += string(text)
	}
	return all
}

func TestWrongPassword(t *testing.T) {
	m := atTerminal(t, newBank(t).URL)
	m.in = input(t, "wrong")
	contains(t, m.wants(3, "login", "52998224725", "--password-stdin"), "The CPF or the password is wrong.")
	for _, text := range []string{"", "\n", "two\nlines", "\xff", strings.Repeat("a", 5000)} {
		m.in = input(t, text)
		m.wants(2, "login", "52998224725", "--password-stdin")
	}
}

// Without a terminal nothing is asked.
func TestNoTerminal(t *testing.T) {
	m := atTerminal(t, newBank(t).URL)
	contains(t, m.wants(2, "login", "52998224725"), "--password-stdin")
	contains(t, m.wants(2, "login"), "CPF is missing")
	contains(t, m.wants(2, "register", "52998224725"), "Name is missing")
	m.in = input(t, "senha-da-ana")
	contains(t, m.wants(0, "register", "52998224725", "Ana Souza", "--password-stdin"), "Account 7907027952 is open")
}

// At a terminal, the password does not show when it is typed, and a signal leaves the terminal as it was.
func TestTerminal(t *testing.T) {
	ours, theirs, err := pty.Open()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ours.Close() }) // not theirs: a question that a signal has ended still reads it
	m := atTerminal(t, newBank(t).URL)
	m.in, m.out = theirs, theirs
	screen := make(chan string, 100)
	go func() {
		buffer := make([]byte, 1<<10)
		for {
			n, err := ours.Read(buffer)
			if err != nil {
				return
			}
			screen <- string(buffer[:n])
		}
	}()
	m.err = theirs
	var shown string
	until := func(text string) {
		t.Helper()
		for deadline := time.After(10 * time.Second); !strings.Contains(shown, text); {
			select {
			case more := <-screen:
				shown += more
			case <-deadline:
				t.Fatalf("no %q on the screen: %q", text, shown)
			}
		}
	}
	exit := make(chan int, 1)
	start := func(args ...string) {
		go func() {
			code, _, _ := m.run(args...)
			exit <- code
		}()
	}
	wantExit := func(want int) {
		t.Helper()
		if code := <-exit; code != want {
			t.Errorf("exit code %d, want %d: %q", code, want, shown)
		}
	}
	typed := func(text string) {
		t.Helper()
		if _, err := ours.WriteString(text); err != nil {
			t.Fatal(err)
		}
	}

	// hidden waits until the terminal does not show what is typed, which begins after the question.
	hidden := func() {
		t.Helper()
		for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(5 * time.Millisecond) {
			stty := exec.CommandContext(t.Context(), "stty", "-a")
			stty.Stdin = theirs
			if out, err := stty.Output(); err != nil || time.Now().After(deadline) {
				t.Fatalf("the terminal shows what is typed: %s, %v", out, err)
			} else if slices.Contains(strings.Fields(string(out)), "-echo") {
				return
			}
		}
	}

	start("register")
	until("CPF: ")
	typed("529.982.247-25\n")
	until("Name: ")
	typed("Ana Souza\n")
	until("Password: ")
	hidden()
	typed("senha-da-ana\n")
	until("Password, again: ")
	hidden()
	typed("senha-da-ana\n")
	until("is open")
	wantExit(0)
	if strings.Contains(shown, "senha-da-ana") || !strings.Contains(shown, "529.982.247-25") {
		t.Errorf("on the screen: %q", shown)
	}

	ctx, cancel := context.WithCancel(t.Context())
	m.ctx, shown = ctx, ""
	start("login", "52998224725")
	until("Password: ")
	hidden()
	cancel()
	wantExit(130)
	until("Interrupted")
	shown = ""
	typed("echo")
	until("echo") // the terminal shows again what is typed
}

func TestUsage(t *testing.T) {
	m := atTerminal(t, newBank(t).URL).loggedIn()
	for args, says := range map[string]string{
		"trasfer":                          "`transfer`, perhaps?",
		"transfer 1048576021":              "AMOUNT is missing",
		"transfer 1048576021 1 2":          `"2" is too much`,
		"transfer 104857602X 1":            "has not 1 to 10 digits",
		"transfer 1048576021 1.234":        "can be read in two ways",
		"transfer 1048576021 -- -5":        "is no amount",
		"transfer 1048576021 0":            "the amount is zero",
		"deposit 9999999999999999":         "more than 15 digits",
		"transfer 1 1 --timeout -1s":       "--timeout is negative",
		"transfer 1 1 --timeout x":         "--timeout does not take",
		"transfer 1 1 --key":               "--key needs a value",
		"balance --nothing":                "there is no option --nothing",
		"balance -x":                       "there is no option -x",
		"balance now":                      `"now" is too much`,
		"balance --profile ../../etc":      "a profile has",
		"statement --limit 0":              "--limit is less than 1",
		"login --password senha":           "there is no option --password",
		"completion tcsh":                  "is not known",
		"help nothing":                     "there is no help on",
		"pending repeat":                   "ID is missing",
		"pending nothing":                  "is too much",
		"statement --from x --limit 5 -xy": "there is no option -x",
		"statement -o f":                   "--output needs --csv or --ofx",
		"statement --csv":                  "--from is missing",
		"statement --csv --ofx --from x":   "do not go together",
		"statement --csv --from x --all":   "--all does not go with",
		"statement --ofx --from x --json":  "--json needs --output",
	} {
		contains(t, m.wants(2, strings.Fields(args)...), says)
	}
	for _, url := range []string{"bank.example.com", "ftp://bank.example.com", "http://", "http://user:password@bank.example.com", "http://a/?b", "http://a\x00b", "http://[::1"} {
		m.env["BANKMORE_URL"] = url
		contains(t, m.wants(2, "balance"), "BANKMORE_URL is no address")
	}
	m.env["BANKMORE_URL"], m.env["XDG_STATE_HOME"] = "", "relative"
	contains(t, m.wants(1, "balance"), "HOME")
}

// An exit code is not all: the bank's refusal of a question is one, too.
func TestRefusedQuestion(t *testing.T) {
	m := atTerminal(t, newBank(t).URL).loggedIn()
	contains(t, m.wants(3, "statement", "--from", "x"), "Something is missing or not valid. (The bank says: from inválido)")
	m.env["LANG"] = "pt_BR.UTF-8"
	contains(t, m.wants(3, "statement", "--from", "x"), "from inválido")
}

func TestTables(t *testing.T) {
	m := atTerminal(t, newBank(t).URL).loggedIn()
	moment := time.Date(2026, 11, 22, 21, 30, 0, 123456000, time.UTC).Local()
	m.env["LANG"] = "pt_BR.UTF-8"
	line := moment.Format("02/01/2006 15:04:05") + "  transferência  -R$ 150,00  R$ 1.234,56  1048576021  evil�[2J\n"
	title := "Data                 Movimento           Valor        Saldo  Conta       Descrição\n"
	if code, out, _ := m.run("statement", "--all"); code != 0 || out != title+line+line {
		t.Errorf("%d\n%s\nwant\n%s", code, out, title+line+line)
	}
	if _, out, problems := m.run("statement", "--limit", "1"); out != title+line || !strings.Contains(problems, "Há mais") {
		t.Errorf("%s%s", out, problems)
	}
	m.env["LANG"] = "en_US.UTF-8"
	contains(t, m.wants(0, "statement"), moment.Format("2006-01-02 15:04:05")+"  transfer  -R$ 150.00  R$ 1,234.56")
	contains(t, m.wants(0, "fees"), "No fees.")
}

func TestJSON(t *testing.T) {
	b := newBank(t)
	m := atTerminal(t, b.URL).loggedIn()
	for args, want := range map[string]string{
		"balance":                               `{"account_name":"Ana Souza","account_number":"7907027952","balance":"1234.56"}`,
		"fees":                                  `{"items":[],"next_cursor":null}`,
		"pending":                               `{"items":[]}`,
		"logout --profile other":                `{"logged_in":false}`,
		"transfer 1048576021 1.234,50 --key k":  `{"kind":"transfer","status":"COMPLETED","account_number":"7907027952","destination_account_number":"1048576021","amount":"1234.50","transfer_id":"id of k","request_id":"k","repeated":false}`,
		"deposit 1 --key d":                     `{"kind":"deposit","status":"COMPLETED","account_number":"7907027952","amount":"1.00","request_id":"d","repeated":false}`,
		"statement --from 2026-11-01 --limit 1": `"next_cursor":"c limit=1&from=2026-11-01"`,
		"statement --cursor x --to 2026-11-30 --all": `"next_cursor":null`,
	} {
		code, out, problems := m.run(append(strings.Fields(args), "--json")...)
		if code != 0 || problems != "" || !strings.Contains(out, want) || !json.Valid([]byte(out)) {
			t.Errorf("%s: %d %s%s\nwant %s", args, code, out, problems, want)
		}
	}
	b.then(answers(400, "INSUFFICIENT_BALANCE"))
	code, out, problems := m.run("withdraw", "1", "--json")
	if want := `{"error":{"code":3,"type":"INSUFFICIENT_BALANCE","message":"The balance is not enough. (The bank says: Mensagem do banco.)"}}` + "\n"; code != 3 || out != "" || problems != want {
		t.Errorf("%d %s%s\nwant %s", code, out, problems, want)
	}
	b.then(four...)
	code, out, problems = m.run("deposit", "5", "--json")
	if code != 6 || out != "" || !json.Valid([]byte(problems)) || !strings.Contains(problems, `"payment":"`) {
		t.Errorf("%d %s%s", code, out, problems)
	}
	if _, out, _ := m.run("deposit", "5", "--json"); !strings.Contains(out, `"repeated":true`) {
		t.Errorf("the repetition says %s", out)
	}
}

var update = flag.Bool("update", false, "write testdata/help.*.txt anew")

// The help is as in testdata, in both languages. `go test ./cli/internal/command -run TestHelp -update` writes it anew.
func TestHelp(t *testing.T) {
	for l, locale := range map[string]string{"pt": "pt_BR.UTF-8", "en": "en_US.UTF-8"} {
		m := atTerminal(t, "")
		m.env["LANG"] = locale
		var all string
		for _, name := range []string{"", "register", "login", "logout", "balance", "deposit", "withdraw", "transfer", "transfers", "statement", "fees",
			"pending", "pending repeat", "pending forget", "completion", "help", "payments", "exit-codes", "environment"} {
			text := m.wants(0, append([]string{"help"}, strings.Fields(name)...)...)
			if short := m.wants(0, append(strings.Fields(name), "--help")...); short != text {
				t.Errorf("%s --help is not help %s", name, name)
			}
			all += "$ bankmore help " + name + "\n" + text + "\n"
		}
		path := "testdata/help." + l + ".txt"
		if *update {
			if err := os.WriteFile(path, []byte(all), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if want, err := os.ReadFile(path); err != nil || string(want) != all {
			t.Errorf("the help is not as in %s (%v):\n%s", path, err, all)
		}
	}
}

// The scripts name the program, and what completes is in the language of the user.
func TestCompletion(t *testing.T) {
	m := atTerminal(t, "")
	for _, shell := range []string{"bash", "zsh", "fish", "powershell"} {
		contains(t, m.wants(0, "completion", shell), "bankmore", "__complete")
	}
	contains(t, m.wants(0, "__complete", "tr"), "transfer\ttransfers to another account", "transfers\t")
	contains(t, m.wants(0, "__complete", "completion", ""), "fish")
	contains(t, m.wants(0, "__complete", "transfer", "--wa"), "--watch\twaits until the transfer has ended")
	contains(t, m.wants(0, "__complete", "statement", "--o"), "--ofx\tthe period as an OFX file", "--output\twrites to")
	contains(t, m.wants(0, "__complete", "statement", "-o", ""), "ShellCompDirectiveDefault") // names of files
}

// A password over a network that can be listened to is worth a warning.
func TestWarning(t *testing.T) {
	m := atTerminal(t, "http://bank.invalid")
	m.in = input(t, "senha-da-ana")
	contains(t, m.wants(5, "login", "52998224725", "--password-stdin"), "not https")
}
