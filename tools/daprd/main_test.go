package main

import (
	"reflect"
	"testing"

	"github.com/dapr/dapr/cmd/daprd/options"
	"github.com/dapr/dapr/pkg/healthz"
)

// A later Dapr may have options that this command does not know of.
func TestEveryOptionReachesTheRuntime(t *testing.T) {
	opts, err := options.New([]string{"--metrics-listen-address", "127.0.0.1"})
	if err != nil {
		t.Fatal(err)
	}
	fields := reflect.ValueOf(opts).Elem()
	for i := range fields.NumField() {
		fill(fields.Field(i))
	}
	config := reflect.ValueOf(configure(opts, healthz.New())).Elem()
	for i := range config.NumField() {
		switch name := config.Type().Field(i).Name; name {
		case "Registry", "Security": // run adds them
		case "WorkflowEventSink": // Dapr's own command has none
		default:
			if config.Field(i).IsZero() {
				t.Errorf("%s is not set", name)
			}
		}
	}
}

// fill gives a value to an option.
func fill(field reflect.Value) {
	switch field.Kind() {
	case reflect.Bool:
		field.SetBool(true)
	case reflect.Int, reflect.Int64:
		field.SetInt(1)
	case reflect.Uint:
		field.SetUint(1)
	case reflect.String:
		field.SetString("set")
	case reflect.Pointer:
		if field.IsNil() {
			field.Set(reflect.New(field.Type().Elem()))
		}
	case reflect.Slice:
		if field.Type().Elem().Kind() == reflect.String {
			field.Set(reflect.ValueOf([]string{"set"}))
		}
	}
}
