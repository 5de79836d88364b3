package stack

import (
	"context"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"strconv"

	"github.com/bankmore/bankmore/launcher/process"
)

// LoneIngress is the ingress alone, without the rest of a stack. Whoever starts it plays the sidecar.
type LoneIngress struct {
	*Process
	Address string // host and port where it listens

	dir   string
	ports *portBlock
}

// StartIngress starts the ingress in front of a sidecar at sidecarPort of 127.0.0.1, with more environment.
func StartIngress(ctx context.Context, sidecarPort int, env map[string]string) (*LoneIngress, error) {
	root, err := Root()
	if err != nil {
		return nil, err
	}
	programs, err := findTools(root)
	if err != nil {
		return nil, err
	}
	i := new(LoneIngress)
	if i.dir, err = os.MkdirTemp("", "bankmore-ingress-"); err != nil {
		return nil, err
	}
	if i.ports, err = claimPorts(); err != nil {
		return nil, errors.Join(err, os.RemoveAll(i.dir))
	}
	port := i.ports.take()
	i.Address = loopback(port)
	all := map[string]string{"INGRESS_PORT": strconv.Itoa(port), "DAPR_HTTP_PORT": strconv.Itoa(sidecarPort)}
	maps.Copy(all, env)
	i.Process = (&Stack{Dir: i.dir}).process(Ingress, []string{programs.caddy, "run", "--config", filepath.Join(root, ingressDir, "Caddyfile")}, all, toolGrace,
		process.Listens(i.Address))
	if err = os.Mkdir(filepath.Join(i.dir, logDir), 0o700); err == nil {
		err = i.Start(ctx)
	}
	if err != nil {
		return nil, errors.Join(err, i.Close())
	}
	return i, nil
}

// Close ends the ingress and removes what it wrote.
func (i *LoneIngress) Close() error {
	var err error
	if i.Running() {
		err = i.Terminate()
	}
	return errors.Join(err, i.ports.release(), os.RemoveAll(i.dir))
}
