//go:build chaos

package e2e_test

func storm(s *scene) {}
