package main

import (
	"fmt"
	"reflect"
	"testing"

	"github.com/dapr/dapr/cmd/daprd/options"
	"github.com/dapr/dapr/pkg/healthz"
)

// renamed maps fields of the runtime's configuration to options whose names differ.
var renamed = map[string]string{"ApplicationPort": "AppPort", "SchedulerStreams": "SchedulerJobStreams"}

// configure sets each field of the configuration to the option with the same name. The test fails if a later Dapr has an option
// that configure does not pass on.
func TestEveryOptionReachesTheRuntime(t *testing.T) {
	opts, err := options.New([]string{"--metrics-listen-address", "127.0.0.1"})
	if err != nil {
		t.Fatal(err)
	}
	fields := reflect.ValueOf(opts).Elem()
	for i := range fields.NumField() {
		fill(fields.Field(i), i+1)
	}
	config := reflect.ValueOf(configure(opts, healthz.New())).Elem()
	for i := range config.NumField() {
		name := config.Type().Field(i).Name
		switch name {
		case "Registry", "Security": // run sets them
			continue
		case "WorkflowEventSink": // Dapr's own command has none
			continue
		case "Healthz", "Metrics": // configure makes them from several values
			if config.Field(i).IsZero() {
				t.Errorf("%s is not set", name)
			}
			continue
		}
		option := name
		if other, ok := renamed[name]; ok {
			option = other
		}
		if want := fields.FieldByName(option); !want.IsValid() || !reflect.DeepEqual(config.Field(i).Interface(), want.Interface()) {
			t.Errorf("%s is %v, want the option %s", name, config.Field(i), option)
		}
	}
}

// fill sets an option to a value that depends on n, so that options of the same kind differ where the kind has enough values.
func fill(field reflect.Value, n int) {
	switch field.Kind() {
	case reflect.Bool:
		field.SetBool(true)
	case reflect.Int, reflect.Int64:
		field.SetInt(int64(n))
	case reflect.Uint:
		field.SetUint(uint64(n))
	case reflect.String:
		field.SetString(fmt.Sprint("option ", n))
	case reflect.Pointer:
		if field.IsNil() {
			field.Set(reflect.New(field.Type().Elem()))
		}
	case reflect.Slice:
		if field.Type().Elem().Kind() == reflect.String {
			field.Set(reflect.ValueOf([]string{fmt.Sprint("option ", n)}))
		}
	}
}
