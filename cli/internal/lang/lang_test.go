package lang_test

import (
	"testing"

	"github.com/bankmore/bankmore/cli/internal/lang"
)

func TestFrom(t *testing.T) {
	for _, test := range []struct {
		own, all, messages, lang string
		want                     lang.Language
	}{
		{want: lang.Portuguese},
		{lang: "C.UTF-8", want: lang.Portuguese},
		{lang: "pt_BR.UTF-8", want: lang.Portuguese},
		{lang: "en_US.UTF-8", want: lang.English},
		{lang: "de_DE", want: lang.English},
		{lang: "en_US", messages: "pt_PT", want: lang.Portuguese},
		{lang: "pt_BR", messages: "pt_BR", all: "en_GB", want: lang.English},
		{own: "pt", all: "en_GB", want: lang.Portuguese},
		{own: "en", lang: "pt_BR", want: lang.English},
	} {
		env := map[string]string{"BANKMORE_LANG": test.own, "LC_ALL": test.all, "LC_MESSAGES": test.messages, "LANG": test.lang}
		if got := lang.From(func(name string) string { return env[name] }); got != test.want {
			t.Errorf("%v: %d, want %d", env, got, test.want)
		}
	}
}
