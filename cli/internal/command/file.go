package command

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/bankmore/bankmore/cli/internal/disk"
	"github.com/bankmore/bankmore/client"
)

// fileFlags ask for a statement as a file.
type fileFlags struct {
	csv, ofx bool
	output   string
}

func (f fileFlags) asked() bool { return f.csv || f.ofx }

func (f fileFlags) toStandardOutput() bool { return f.output == "" || f.output == "-" }

func (a *app) addFileFlags(cmd *cobra.Command, f *fileFlags) {
	cmd.Flags().BoolVar(&f.csv, "csv", false, a.l.Say("o período como arquivo para planilhas", "the period as a file for spreadsheets"))
	cmd.Flags().BoolVar(&f.ofx, "ofx", false, a.l.Say("o período como arquivo OFX, para programas de finanças", "the period as an OFX file, for accounting programs"))
	cmd.Flags().StringVarP(&f.output, "output", "o", "", a.l.Say("grava em `ARQUIVO`; - é a saída padrão, que vale se não for dito", "writes to `FILE`; - is the standard output, which counts if not said"))
}

// checkFile refuses flags that do not go together.
func (a *app) checkFile(cmd *cobra.Command, f fileFlags, period listFlags) error {
	if !f.asked() {
		if f.output != "" {
			return a.usage("--output precisa de --csv ou --ofx", "--output needs --csv or --ofx")
		}
		return nil
	}
	if f.csv && f.ofx {
		return a.usage("--csv e --ofx não combinam", "--csv and --ofx do not go together")
	}
	for _, other := range []string{"limit", "all", "cursor"} {
		if cmd.Flags().Changed(other) {
			return a.usage("--%s não combina com --csv nem --ofx: o arquivo tem o período inteiro", "--%s does not go with --csv or --ofx: the file has the whole period", other)
		}
	}
	if period.from == "" {
		return a.usage("falta --from: um arquivo tem um período", "--from is missing: a file has a period")
	}
	if a.json && f.toStandardOutput() {
		return a.usage("--json precisa de --output: a saída padrão já é do arquivo", "--json needs --output: the standard output is the file's")
	}
	return nil
}

// statementFile writes the statement of a period as a file.
func (a *app) statementFile(ctx context.Context, s *client.Session, f fileFlags, period listFlags) error {
	format, decimal := client.CSV, a.l.Say("comma", "point")
	if f.ofx {
		format, decimal = client.OFX, ""
	}
	var out writer
	err := f.into(a.Out, func(to io.Writer) error {
		out.to = to
		err := s.StatementFile(ctx, &out, format, period.from, period.to, decimal)
		switch {
		case err == nil:
			return nil
		case out.err != nil:
			return &problem{code: codeOther, message: a.l.Say("O arquivo não pôde ser gravado: %v", "The file could not be written: %v", out.err)}
		case ctx.Err() == nil && (errors.Is(err, client.ErrBrokenOff) || errors.Is(err, io.ErrUnexpectedEOF)):
			return &problem{code: codeUnavailable, message: a.l.Say("O arquivo não chegou inteiro: %v", "The file did not come whole: %v", cause(err))}
		}
		return a.explain(ctx, err)
	})
	if err != nil || f.toStandardOutput() {
		return err
	}
	return a.print(struct {
		File  string `json:"file"`
		Bytes int64  `json:"bytes"`
	}{f.output, out.n}, a.l.Say("Extrato gravado em %s (%d bytes).\n", "The statement is in %s (%d bytes).\n", f.output, out.n))
}

// writer counts what it writes, and keeps why it cannot.
type writer struct {
	to  io.Writer
	n   int64
	err error
}

func (w *writer) Write(p []byte) (int, error) {
	n, err := w.to.Write(p)
	w.n, w.err = w.n+int64(n), err
	return n, err
}

// into lets write write to the output. A file has all of it, or stays as it was; what is no file, such as a pipe, cannot be replaced.
func (f fileFlags) into(standardOutput io.Writer, write func(io.Writer) error) error {
	if f.toStandardOutput() {
		return write(standardOutput)
	}
	info, err := os.Stat(f.output)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if _, linked := os.Lstat(f.output); linked == nil {
			return err // a link that leads nowhere stays, too
		}
		return disk.Replace(f.output, write)
	case err != nil:
		return err
	case !info.Mode().IsRegular():
		file, err := os.OpenFile(f.output, os.O_WRONLY, 0)
		if err != nil {
			return err
		}
		return errors.Join(write(file), file.Close())
	}
	target, err := filepath.EvalSymlinks(f.output) // a link stays
	if err != nil {
		return err
	}
	return disk.Replace(target, write)
}
