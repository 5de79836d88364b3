// Package docs finds the commands in the documentation. Each block of commands says in its first line which test runs it, as
// ```bash run=TestReadmeSession, or what it needs that tests do not have, as ```bash needs=cluster. The test of this package
// demands it.
package docs

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Block is a fenced block of a document.
type Block struct {
	File       string // from the repository's root
	Line       int    // of its first line, which says what it is
	Language   string
	Run, Needs []string
	Text       string
}

// Files returns the documents of the repository, from its root, without those of the packages that npm has installed.
func Files(root string) (files []string, err error) {
	err = filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && path != root && (strings.HasPrefix(entry.Name(), ".") || entry.Name() == "node_modules"):
			return filepath.SkipDir
		case !entry.IsDir() && filepath.Ext(path) == ".md":
			file, err := filepath.Rel(root, path)
			files = append(files, file)
			return err
		}
		return nil
	})
	return files, err
}

const fence = "```"

// Blocks returns the fenced blocks of a document.
func Blocks(root, file string) ([]Block, error) {
	raw, err := os.ReadFile(filepath.Join(root, file))
	if err != nil {
		return nil, err
	}
	return Read(file, string(raw))
}

// Read returns the fenced blocks of a text; file names it in errors.
func Read(file, text string) (blocks []Block, err error) {
	var in *Block // nil outside of a block
	lines := bufio.NewScanner(strings.NewReader(text))
	for number := 1; lines.Scan(); number++ {
		line := lines.Text()
		info, fenced := strings.CutPrefix(strings.TrimSpace(line), fence)
		switch {
		case in != nil && fenced:
			blocks = append(blocks, *in)
			in = nil
		case in != nil:
			in.Text += line + "\n"
		case fenced:
			if in, err = begin(info); err != nil {
				return nil, fmt.Errorf("%s:%d: %w", file, number, err)
			}
			in.File, in.Line = file, number
		}
	}
	if in != nil {
		return nil, fmt.Errorf("%s:%d: the block does not end", file, in.Line)
	}
	return blocks, lines.Err()
}

// begin reads what the first line of a block says, such as "bash needs=root,time".
func begin(info string) (*Block, error) {
	words := strings.Fields(info)
	if len(words) == 0 {
		return nil, errors.New("the block does not say its language: bash for commands, text for what they print")
	}
	block := &Block{Language: words[0]}
	for _, word := range words[1:] {
		name, values, _ := strings.Cut(word, "=")
		switch name {
		case "run":
			block.Run = strings.Split(values, ",")
		case "needs":
			block.Needs = strings.Split(values, ",")
		default:
			return nil, fmt.Errorf("%q is neither run=… nor needs=…", word)
		}
	}
	return block, nil
}

// Script returns the commands of a document that a test runs, in their order.
func Script(root, file, test string) (string, error) {
	blocks, err := Blocks(root, file)
	if err != nil {
		return "", err
	}
	var script strings.Builder
	for _, block := range blocks {
		if slices.Contains(block.Run, test) {
			script.WriteString(block.Text)
		}
	}
	if script.Len() == 0 {
		return "", fmt.Errorf("%s has no block for %s", file, test)
	}
	return script.String(), nil
}
