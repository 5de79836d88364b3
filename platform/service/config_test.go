package service_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/bankmore/bankmore/platform/service"
)

type inner struct {
	Port  int           `env:"PORT" envDefault:"8000"`
	Drain time.Duration `env:"DRAIN" envDefault:"15s"`
}

type Settings struct {
	Secret string `env:"SECRET,required"`
	URL    string `env:"URL,required"`
	Inner  inner
}

// checked is a config whose Validate refuses port 1.
type checked struct{ Settings }

func (c *checked) Validate() error {
	if c.Inner.Port == 1 {
		return errors.New("PORT 1 does not go with URL")
	}
	return nil
}

var defaults = map[string]string{"SECRET": "local secret", "URL": "local url"}

func TestLoad(t *testing.T) {
	var got Settings
	environ := []string{"SECRET=a=b=c", "URL=x", "PORT=9000", "UNRELATED=1", "no pair", ""}
	if err := service.LoadConfig(&got, environ, defaults); err != nil {
		t.Fatal(err)
	}
	want := Settings{Secret: "a=b=c", URL: "x", Inner: inner{Port: 9000, Drain: 15 * time.Second}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestLocalDefaultsOnlyInLocal(t *testing.T) {
	for _, environment := range []string{"", "BANKMORE_ENV=production", "BANKMORE_ENV=Local", "BANKMORE_ENV=localhost", "BANKMORE_ENV= local"} {
		var got Settings
		err := service.LoadConfig(&got, []string{environment}, defaults)
		if err == nil || !strings.Contains(err.Error(), "SECRET") || got.Secret != "" {
			t.Errorf("%q: %+v, %v, want an error that names SECRET", environment, got, err)
		}
	}
	var got Settings
	if err := service.LoadConfig(&got, []string{"BANKMORE_ENV=local", "URL=mine", "SECRET="}, defaults); err != nil {
		t.Fatal(err)
	}
	if got.Secret != "local secret" || got.URL != "mine" {
		t.Errorf("in local: %+v, want the default for what is empty and the environment's for the rest", got)
	}
	if diff := cmp.Diff(map[string]string{"SECRET": "local secret", "URL": "local url"}, defaults); diff != "" {
		t.Errorf("the defaults were changed (-want +got):\n%s", diff)
	}
}

func TestLocalWithoutDefaults(t *testing.T) {
	var got Settings
	if err := service.LoadConfig(&got, []string{"BANKMORE_ENV=local", "SECRET=a", "URL=b"}, nil); err != nil || got.Secret != "a" {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestEveryProblemAtOnce(t *testing.T) {
	var got checked
	err := service.LoadConfig(&got, []string{"SECRET=", "PORT=1", "DRAIN=soon"}, defaults)
	if err == nil {
		t.Fatal("no error")
	}
	for _, name := range []string{"SECRET", "URL", "DRAIN", "PORT 1 does not go with URL"} {
		if !strings.Contains(err.Error(), name) {
			t.Errorf("the error does not mention %s:\n%v", name, err)
		}
	}
	if lines := strings.Count(err.Error(), "\n"); lines != 4 {
		t.Errorf("%d problems, want one line each for 4:\n%v", lines, err)
	}
}

func TestValidatorAlone(t *testing.T) {
	var got checked
	err := service.LoadConfig(&got, []string{"SECRET=a", "URL=b", "PORT=1"}, nil)
	if err == nil || err.Error() != "configuration:\nPORT 1 does not go with URL" {
		t.Errorf("%v", err)
	}
	if err := service.LoadConfig(&got, []string{"SECRET=a", "URL=b"}, nil); err != nil {
		t.Errorf("%v", err)
	}
}

func TestWrongTarget(t *testing.T) {
	if err := service.LoadConfig(Settings{}, nil, nil); err == nil {
		t.Error("a struct that cannot be filled was accepted")
	}
}
