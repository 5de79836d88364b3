package service

import (
	"errors"
	"fmt"
	"reflect"
	"strings"

	"github.com/caarlos0/env/v11"
)

// EnvironmentVariable names where a service runs: "local" allows development defaults for secrets, anything else not.
const EnvironmentVariable = "BANKMORE_ENV"

// Local is the value of EnvironmentVariable on a developer's machine.
const Local = "local"

// Validator is a config that checks what single fields cannot.
type Validator interface{ Validate() error }

// LoadConfig fills cfg from environ ("KEY=value" pairs, as os.Environ gives them), which carries `env` tags. In the local
// environment, and only there, a variable that is missing or empty takes its value from localDefaults.
// The error names every missing or malformed variable.
func LoadConfig(cfg any, environ []string, localDefaults map[string]string) error {
	vars := make(map[string]string, len(environ))
	for _, pair := range environ {
		key, value, _ := strings.Cut(pair, "=")
		if value != "" {
			vars[key] = value
		}
	}
	if vars[EnvironmentVariable] == Local {
		for key, value := range localDefaults {
			if vars[key] == "" {
				vars[key] = value
			}
		}
	}
	var problems []error
	if err := env.ParseWithOptions(cfg, env.Options{Environment: vars}); err != nil {
		var all env.AggregateError
		if errors.As(err, &all) {
			for _, problem := range all.Errors {
				problems = append(problems, named(problem, reflect.Indirect(reflect.ValueOf(cfg)).Type()))
			}
		} else {
			problems = append(problems, err)
		}
	}
	if v, ok := cfg.(Validator); ok {
		if err := v.Validate(); err != nil {
			problems = append(problems, err)
		}
	}
	if len(problems) == 0 {
		return nil
	}
	return fmt.Errorf("configuration:\n%w", errors.Join(problems...))
}

// named names the variable that a problem is about. The library names the struct's field instead.
func named(problem error, config reflect.Type) error {
	var parse env.ParseError
	if !errors.As(problem, &parse) {
		return problem
	}
	return fmt.Errorf("%s: %w", strings.Join(variables(config, parse), " or "), parse.Err)
}

// variables returns the environment variables of the fields that have the name and the type that could not be parsed.
func variables(config reflect.Type, parse env.ParseError) (names []string) {
	for i := range config.NumField() {
		field := config.Field(i)
		tag, tagged := field.Tag.Lookup("env")
		switch {
		case !tagged && field.Type.Kind() == reflect.Struct:
			names = append(names, variables(field.Type, parse)...)
		case field.Name == parse.Name && field.Type == parse.Type:
			name, _, _ := strings.Cut(tag, ",")
			names = append(names, name)
		}
	}
	return names
}
