package docs_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/bankmore/bankmore/e2e/docs"
)

var (
	link    = regexp.MustCompile(`\]\(([^()\s]+)\)`)
	heading = regexp.MustCompile(`(?m)^#+ (.*)$`)
	fenced  = regexp.MustCompile("(?ms)^```.*?^```")
	markup  = regexp.MustCompile(`\[([^\]]*)\]\([^)]*\)`)
	noPart  = regexp.MustCompile(`[^\p{L}\p{N}_ -]`) // what GitHub leaves out of an anchor
)

// Each link from one document to another file leads to a file that is there, and to a heading that it has.
func TestLinksLeadSomewhere(t *testing.T) {
	root := root(t)
	files, err := docs.Files(root)
	if err != nil {
		t.Fatal(err)
	}
	texts, anchors := map[string]string{}, map[string]map[string]bool{}
	for _, file := range files {
		raw, err := os.ReadFile(filepath.Join(root, file))
		if err != nil {
			t.Fatal(err)
		}
		texts[file] = fenced.ReplaceAllString(string(raw), "")
		anchors[file] = map[string]bool{}
		for _, title := range heading.FindAllStringSubmatch(texts[file], -1) {
			anchors[file][anchor(title[1])] = true
		}
	}
	found := 0
	for file, text := range texts {
		for _, target := range link.FindAllStringSubmatch(text, -1) {
			if strings.Contains(target[1], "://") {
				continue
			}
			found++
			path, part, _ := strings.Cut(target[1], "#")
			to := file
			if path != "" {
				to = filepath.Join(filepath.Dir(file), path)
			}
			if _, err := os.Stat(filepath.Join(root, to)); err != nil {
				t.Errorf("%s: %v", file, err)
			} else if part != "" && !anchors[to][part] {
				t.Errorf("%s: %s has no heading %q", file, to, part)
			}
		}
	}
	t.Logf("%d links", found)
	if found < 200 {
		t.Error("this finds too little")
	}
}

// anchor is what GitHub makes of a heading.
func anchor(title string) string {
	title = markup.ReplaceAllString(title, "$1")
	return strings.ReplaceAll(noPart.ReplaceAllString(strings.ToLower(strings.TrimSpace(title)), ""), " ", "-")
}
