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

// Door is the ingress alone, without the rest of a stack. Whoever opens it plays the sidecar.
type Door struct {
	*Process
	Address string // host and port where it listens

	dir   string
	ports *portBlock
}

// OpenDoor starts the ingress in front of a sidecar at sidecarPort of 127.0.0.1, with more environment.
func OpenDoor(ctx context.Context, sidecarPort int, env map[string]string) (*Door, error) {
	root, err := Root()
	if err != nil {
		return nil, err
	}
	programs, err := findTools(root)
	if err != nil {
		return nil, err
	}
	d := new(Door)
	if d.dir, err = os.MkdirTemp("", "bankmore-door-"); err != nil {
		return nil, err
	}
	if d.ports, err = claimPorts(); err != nil {
		return nil, errors.Join(err, os.RemoveAll(d.dir))
	}
	port := d.ports.take()
	d.Address = loopback(port)
	all := map[string]string{"INGRESS_PORT": strconv.Itoa(port), "DAPR_HTTP_PORT": strconv.Itoa(sidecarPort)}
	maps.Copy(all, env)
	d.Process = (&Stack{Dir: d.dir}).process(Ingress, []string{programs.caddy, "run", "--config", filepath.Join(root, ingressDir, "Caddyfile")}, all, toolGrace,
		process.Listens(d.Address))
	if err = os.Mkdir(filepath.Join(d.dir, logDir), 0o700); err == nil {
		err = d.Start(ctx)
	}
	if err != nil {
		return nil, errors.Join(err, d.Close())
	}
	return d, nil
}

// Close ends the ingress and removes what it wrote.
func (d *Door) Close() error {
	var err error
	if d.Running() {
		err = d.Terminate()
	}
	return errors.Join(err, d.ports.release(), os.RemoveAll(d.dir))
}
