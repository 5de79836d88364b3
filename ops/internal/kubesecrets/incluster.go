package kubesecrets

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// serviceAccount is where Kubernetes mounts what a pod needs to call the API server.
const serviceAccount = "/var/run/secrets/kubernetes.io/serviceaccount"

// InCluster is the cluster and the namespace that this pod runs in.
func InCluster() (Cluster, error) { return inCluster(serviceAccount) }

func inCluster(folder string) (Cluster, error) {
	host, port := os.Getenv("KUBERNETES_SERVICE_HOST"), os.Getenv("KUBERNETES_SERVICE_PORT")
	if host == "" || port == "" {
		return Cluster{}, errors.New("not in a pod: KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT are not set")
	}
	var files [3]string
	for i, name := range []string{"token", "namespace", "ca.crt"} {
		raw, err := os.ReadFile(filepath.Join(folder, name))
		if err != nil {
			return Cluster{}, fmt.Errorf("the pod's service account: %w", err)
		}
		files[i] = strings.TrimSpace(string(raw))
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM([]byte(files[2])) {
		return Cluster{}, errors.New("the pod's service account: ca.crt has no certificate")
	}
	return Cluster{
		URL:       "https://" + net.JoinHostPort(host, port),
		Token:     files[0],
		Namespace: files[1],
		HTTP: &http.Client{
			Timeout:   15 * time.Second,
			Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}},
		},
	}, nil
}
