// Package kubesecrets makes the Secrets of a Kubernetes namespace out of a template, with random values that nobody else
// has. It needs the right to create Secrets and to read one of them, the seed.
package kubesecrets

import (
	"bytes"
	"context"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"regexp"

	"github.com/go-json-experiment/json"
	"gopkg.in/yaml.v3"
)

// Seed is the Secret that every value is derived from. As long as it stays, a run that was cut short can be repeated, and
// every Secret that uses a value gets the same one.
const Seed = "generated-seed"

// Cluster is a Kubernetes API server, as one namespace's service account sees it.
type Cluster struct {
	URL       string
	Namespace string
	Token     string
	HTTP      *http.Client
}

// secret is a Kubernetes Secret.
type secret struct {
	APIVersion string            `json:"apiVersion" yaml:"apiVersion"`
	Kind       string            `json:"kind" yaml:"kind"`
	Metadata   metadata          `json:"metadata" yaml:"metadata"`
	Data       map[string][]byte `json:"data,omitempty" yaml:"-"`
	StringData map[string]string `json:"stringData,omitempty" yaml:"stringData"`
}

type metadata struct {
	Name   string            `json:"name" yaml:"name"`
	Labels map[string]string `json:"labels,omitempty" yaml:"labels"`
}

// Create creates the Secrets of a template that the namespace does not have, and changes none that it has. It writes a
// line about each to out, without values.
//
// A template is a YAML file of Secrets with stringData. In their values, ${hex NAME} becomes 48 random hexadecimal digits
// and ${base64 NAME} 32 random bytes in base64: the same wherever the NAME is the same.
func Create(ctx context.Context, out io.Writer, cluster Cluster, template []byte) error {
	secrets, err := parse(template)
	if err != nil {
		return err
	}
	seed, err := cluster.seed(ctx)
	if err != nil {
		return err
	}
	for _, s := range secrets {
		for key, value := range s.StringData {
			if s.StringData[key], err = fill(seed, value); err != nil {
				return fmt.Errorf("%s: %s: %w", s.Metadata.Name, key, err)
			}
		}
		created, err := cluster.create(ctx, s)
		if err != nil {
			return err
		}
		what := "is there already"
		if created {
			what = "created"
		}
		fmt.Fprintf(out, "secret %s %s\n", s.Metadata.Name, what)
	}
	return nil
}

func parse(template []byte) (secrets []secret, err error) {
	documents := yaml.NewDecoder(bytes.NewReader(template))
	documents.KnownFields(true)
	for {
		var s secret
		switch err := documents.Decode(&s); {
		case errors.Is(err, io.EOF):
			if len(secrets) == 0 {
				return nil, errors.New("the template has no Secret")
			}
			return secrets, nil
		case err != nil:
			return nil, fmt.Errorf("the template: %w", err)
		case s.APIVersion != "v1" || s.Kind != "Secret" || s.Metadata.Name == "" || len(s.StringData) == 0:
			return nil, fmt.Errorf("the template: document %d is no Secret with a name and stringData", len(secrets)+1)
		}
		secrets = append(secrets, s)
	}
}

var placeholder = regexp.MustCompile(`\$\{[^}]*\}?`)

var wellFormed = regexp.MustCompile(`^\$\{(hex|base64) ([a-z0-9-]+)\}$`)

// fill replaces the placeholders in value.
func fill(seed []byte, value string) (filled string, err error) {
	filled = placeholder.ReplaceAllStringFunc(value, func(found string) string {
		parts := wellFormed.FindStringSubmatch(found)
		if parts == nil {
			err = fmt.Errorf("%q is neither ${hex NAME} nor ${base64 NAME}", found)
			return ""
		}
		length := map[string]int{"hex": 24, "base64": 32}[parts[1]]
		derived, failed := hkdf.Key(sha256.New, seed, nil, parts[1]+" "+parts[2], length)
		if failed != nil {
			err = failed
			return ""
		}
		if parts[1] == "hex" {
			return hex.EncodeToString(derived)
		}
		return base64.StdEncoding.EncodeToString(derived)
	})
	return filled, err
}

// seed returns the value that all others come from: the namespace's, or a new one. Of two that run at once, the first
// decides.
func (c Cluster) seed(ctx context.Context) ([]byte, error) {
	fresh := make([]byte, 32)
	_, _ = rand.Read(fresh) // never fails
	created, err := c.create(ctx, secret{
		APIVersion: "v1", Kind: "Secret", Metadata: metadata{Name: Seed}, Data: map[string][]byte{"seed": fresh},
	})
	if err != nil || created {
		return fresh, err
	}
	status, body, err := c.call(ctx, http.MethodGet, "/"+Seed, nil)
	if err != nil {
		return nil, err
	}
	var there secret
	if status != http.StatusOK {
		return nil, refusal(Seed, status, body)
	}
	if err := json.Unmarshal(body, &there); err != nil {
		return nil, fmt.Errorf("secret %s: %w", Seed, err)
	}
	if len(there.Data["seed"]) < 32 {
		return nil, fmt.Errorf("secret %s has no seed of 32 bytes", Seed)
	}
	return there.Data["seed"], nil
}

// create returns false if the namespace has a Secret of this name already.
func (c Cluster) create(ctx context.Context, s secret) (created bool, err error) {
	body, err := json.Marshal(s)
	if err != nil {
		return false, fmt.Errorf("secret %s: %w", s.Metadata.Name, err)
	}
	status, answer, err := c.call(ctx, http.MethodPost, "", body)
	switch {
	case err != nil:
		return false, err
	case status == http.StatusConflict:
		return false, nil
	case status != http.StatusCreated:
		return false, refusal(s.Metadata.Name, status, answer)
	}
	return true, nil
}

// call asks the API server about the namespace's Secrets.
func (c Cluster) call(ctx context.Context, method, path string, body []byte) (status int, answer []byte, err error) {
	url := c.URL + "/api/v1/namespaces/" + c.Namespace + "/secrets" + path
	req, err := http.NewRequestWithContext(ctx, method, url, bytes.NewReader(body))
	if err != nil {
		return 0, nil, err
	}
	req.Header.Set("Authorization", "Bearer "+c.Token)
	req.Header.Set("Content-Type", "application/json")
	resp, err := c.HTTP.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer resp.Body.Close()
	answer, err = io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	return resp.StatusCode, answer, err
}

// refusal is what the API server answers, which names no value.
func refusal(name string, status int, answer []byte) error {
	var reason struct {
		Message string `json:"message"`
	}
	_ = json.Unmarshal(answer, &reason) // the status tells enough
	return fmt.Errorf("secret %s: status %d: %s", name, status, reason.Message)
}
