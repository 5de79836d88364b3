package command

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/bankmore/bankmore/cli/internal/amount"
	"github.com/bankmore/bankmore/client"
)

// listFlags choose a part of a list.
type listFlags struct {
	limit            int
	all              bool
	cursor, from, to string
}

// pageSize is the most that the bank gives at once.
const pageSize = 100

func (a *app) addListFlags(cmd *cobra.Command, f *listFlags) {
	cmd.Flags().IntVar(&f.limit, "limit", 20, a.l.Say("mostra no máximo `N` linhas, as mais novas primeiro (20 se não for dito)", "shows at most `N` lines, newest first (20 if not said)"))
	cmd.Flag("limit").DefValue = "0" // the text says it
	cmd.Flags().BoolVar(&f.all, "all", false, a.l.Say("mostra tudo", "shows everything"))
	cmd.Flags().StringVar(&f.cursor, "cursor", "", a.l.Say("continua do next_cursor de uma resposta com --json", "goes on at the next_cursor of an answer with --json"))
	cmd.Flag("cursor").Usage = a.l.Say("continua no `CURSOR`: o next_cursor de uma resposta com --json", "goes on at the `CURSOR`: next_cursor of an answer with --json")
}

// list is a page as scripts see it.
type list[T any] struct {
	Items []T     `json:"items"`
	Next  *string `json:"next_cursor"`
}

// collect reads the pages that the flags ask for.
func collect[T any](ctx context.Context, a *app, f listFlags, read func(context.Context, client.Query) (client.Page[T], error)) (list[T], error) {
	if f.limit < 1 {
		return list[T]{}, a.usage("--limit é menor que 1", "--limit is less than 1")
	}
	read = client.Unhurried(read)
	got := list[T]{Items: []T{}}
	for query := (client.Query{Cursor: f.cursor, From: f.from, To: f.to}); ; {
		query.Limit = pageSize
		if !f.all {
			query.Limit = min(pageSize, f.limit-len(got.Items))
		}
		page, err := read(ctx, query)
		if err != nil {
			return list[T]{}, a.explain(ctx, err)
		}
		got.Items = append(got.Items, page.Items...)
		if page.Next == "" {
			return got, nil
		}
		if !f.all && len(got.Items) >= f.limit {
			got.Next = &page.Next
			return got, nil
		}
		query.Cursor = page.Next
	}
}

// more says that a list goes on.
func (a *app) more(next *string) {
	if next != nil {
		a.note("Há mais: use --limit ou --all.", "There is more: use --limit or --all.")
	}
}

func (a *app) statement() *cobra.Command {
	var f listFlags
	var file fileFlags
	cmd := &cobra.Command{Args: a.takes(0), RunE: func(cmd *cobra.Command, _ []string) error {
		if err := a.checkFile(cmd, file, f); err != nil {
			return err
		}
		s, err := a.session()
		if err != nil {
			return err
		}
		if file.asked() {
			return a.statementFile(cmd.Context(), s, file, f)
		}
		got, err := collect(cmd.Context(), a, f, s.Statement)
		if err != nil {
			return err
		}
		t := table{columns: []column{{title: a.l.Say("Data", "Date")}, {title: a.l.Say("Movimento", "Movement")}, {title: a.l.Say("Valor", "Amount"), right: true},
			{title: a.l.Say("Saldo", "Balance"), right: true}, {title: a.l.Say("Conta", "Account")}, {title: a.l.Say("Descrição", "Description")}}}
		for _, m := range got.Items {
			sign := "+"
			if m.Type == client.Debit {
				sign = "-"
			}
			t.add(a.when(m.CreatedAt), a.kind(string(m.Kind)), sign+amount.Format(a.l, m.Amount), amount.Format(a.l, m.BalanceAfter), m.CounterpartyAccountNumber, m.Description)
		}
		if err := a.print(got, t.text(a.l.Say("Nenhum movimento.\n", "No movements.\n"))); err != nil {
			return err
		}
		a.more(got.Next)
		return nil
	}}
	a.addListFlags(cmd, &f)
	cmd.Flags().StringVar(&f.from, "from", "", a.l.Say("desde este `DIA` (AAAA-MM-DD, no fuso do banco) ou instante (RFC 3339)", "from this `DAY` on (YYYY-MM-DD, in the bank's time zone) or instant (RFC 3339)"))
	cmd.Flags().StringVar(&f.to, "to", "", a.l.Say("até este `DIA`, inclusive, ou antes deste instante", "until this `DAY`, included, or before this instant"))
	a.addFileFlags(cmd, &file)
	return cmd
}

func (a *app) fees() *cobra.Command {
	var f listFlags
	cmd := &cobra.Command{Args: a.takes(0), RunE: func(cmd *cobra.Command, _ []string) error {
		s, err := a.session()
		if err != nil {
			return err
		}
		got, err := collect(cmd.Context(), a, f, s.Fees)
		if err != nil {
			return err
		}
		t := table{columns: []column{{title: a.l.Say("Data", "Date")}, {title: a.l.Say("Valor", "Amount"), right: true}, {title: a.l.Say("Situação", "Status")},
			{title: a.l.Say("Transferência", "Transfer")}, {title: a.l.Say("Descrição", "Description")}}}
		for _, fee := range got.Items {
			t.add(a.when(fee.CreatedAt), amount.Format(a.l, fee.Amount), a.status(string(fee.Status)), fee.TransferID, fee.Description)
		}
		if err := a.print(got, t.text(a.l.Say("Nenhuma tarifa.\n", "No fees.\n"))); err != nil {
			return err
		}
		a.more(got.Next)
		return nil
	}}
	a.addListFlags(cmd, &f)
	return cmd
}

func (a *app) transfers() *cobra.Command {
	var f listFlags
	cmd := &cobra.Command{Args: a.takes(0), RunE: func(cmd *cobra.Command, _ []string) error {
		s, err := a.session()
		if err != nil {
			return err
		}
		got, err := collect(cmd.Context(), a, f, s.Transfers)
		if err != nil {
			return err
		}
		t := table{columns: []column{{title: a.l.Say("Data", "Date")}, {title: a.l.Say("Da conta", "From")}, {title: a.l.Say("Para a conta", "To")},
			{title: a.l.Say("Valor", "Amount"), right: true}, {title: a.l.Say("Situação", "Status")}, {title: "ID"}}}
		for _, tr := range got.Items {
			status := a.status(string(tr.Status))
			if tr.FailureType != "" {
				status += ": " + a.reason(tr.FailureType, "")
			}
			t.add(a.when(tr.CreatedAt), tr.OriginAccountNumber, tr.DestinationAccountNumber, amount.Format(a.l, tr.Amount), status, tr.ID)
		}
		if err := a.print(got, t.text(a.l.Say("Nenhuma transferência.\n", "No transfers.\n"))); err != nil {
			return err
		}
		a.more(got.Next)
		return nil
	}}
	a.addListFlags(cmd, &f)
	return cmd
}
