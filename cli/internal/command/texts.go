package command

import "github.com/bankmore/bankmore/cli/internal/lang"

// texts are the help of each command and topic, by its path below bankmore.
var texts = map[string]map[lang.Language]helpText{
	"": {
		lang.Portuguese: {"bankmore", "", `
O BankMore no terminal: abra uma conta, entre, deposite, transfira, veja saldo, extrato e tarifas.`, `
  bankmore register 529.982.247-25 "Ana Souza"   # abre uma conta; a senha é pedida
  bankmore login 529.982.247-25
  bankmore deposit 1.000,00
  bankmore transfer 1048576021 150,00 --watch    # espera até terminar
  bankmore balance
  bankmore statement --from 2026-11-01`},
		lang.English: {"bankmore", "", `
BankMore at the terminal: open an account, log in, deposit, transfer, see balance, statement and fees.`, `
  bankmore register 529.982.247-25 "Ana Souza"   # opens an account; the password is asked for
  bankmore login 529.982.247-25
  bankmore deposit 1,000.00
  bankmore transfer 1048576021 150.00 --watch    # waits until it has ended
  bankmore balance
  bankmore statement --from 2026-11-01`},
	},
	"register": {
		lang.Portuguese: {"register [CPF] [NOME]", "abre uma conta", `
Abre uma conta. O que falta é perguntado. A senha não aparece quando é digitada, e nunca é um argumento.
Repetir o mesmo comando, com a mesma senha, abre uma só conta.`, `
  bankmore register
  bankmore register 529.982.247-25 "Ana Souza"
  bankmore register 529.982.247-25 "Ana Souza" --password-stdin < senha.txt`},
		lang.English: {"register [CPF] [NAME]", "opens an account", `
Opens an account. What is missing is asked for. The password is not shown when it is typed, and is never an argument.
The same command, repeated with the same password, opens one account.`, `
  bankmore register
  bankmore register 529.982.247-25 "Ana Souza"
  bankmore register 529.982.247-25 "Ana Souza" --password-stdin < password.txt`},
	},
	"login": {
		lang.Portuguese: {"login [CPF]", "entra na conta", `
Entra na conta e guarda a sessão: no chaveiro do sistema, se houver, ou em um arquivo que só você lê.
A sessão dura o que o banco permite (uma hora, se ele não foi configurado de outro modo).`, `
  bankmore login
  bankmore login 529.982.247-25
  pass bank | bankmore login 529.982.247-25 --password-stdin
  bankmore --profile empresa login                             # outra conta ao lado da primeira`},
		lang.English: {"login [CPF]", "logs in", `
Logs in and keeps the session: in the system's keyring, if there is one, or in a file that only you can read.
The session lasts as long as the bank allows (one hour, unless it was configured otherwise).`, `
  bankmore login
  bankmore login 529.982.247-25
  pass bank | bankmore login 529.982.247-25 --password-stdin
  bankmore --profile company login                             # another account beside the first`},
	},
	"logout": {
		lang.Portuguese: {"logout", "esquece a sessão", `
Esquece a sessão nesta máquina. Os pagamentos sem desfecho conhecido ficam guardados: veja ` + "`bankmore pending`.", `
  bankmore logout`},
		lang.English: {"logout", "forgets the session", `
Forgets the session on this machine. Payments whose outcome is not known stay: see ` + "`bankmore pending`.", `
  bankmore logout`},
	},
	"balance": {
		lang.Portuguese: {"balance", "mostra o saldo", `
Mostra o saldo da conta.`, `
  bankmore balance
  bankmore balance --json | jq -r .balance   # 848.00`},
		lang.English: {"balance", "shows the balance", `
Shows the balance of the account.`, `
  bankmore balance
  bankmore balance --json | jq -r .balance   # 848.00`},
	},
	"deposit": {
		lang.Portuguese: {"deposit VALOR", "deposita na conta", `
Deposita na própria conta. O valor é em reais: 1234, 1234,56 ou 1.234,56. Quando a resposta se perde, repita o comando: o
depósito é feito uma só vez (bankmore help payments).`, `
  bankmore deposit 1000
  bankmore deposit 1.000,00
  bankmore deposit 250,00 --key salario-2026-11   # com uma chave sua`},
		lang.English: {"deposit AMOUNT", "deposits into the account", `
Deposits into the own account. The amount is in reais: 1234, 1234.56 or 1,234.56. If the answer is lost, repeat the command:
the deposit is made once (bankmore help payments).`, `
  bankmore deposit 1000
  bankmore deposit 1,000.00
  bankmore deposit 250.00 --key salary-2026-11   # with a key of your own`},
	},
	"withdraw": {
		lang.Portuguese: {"withdraw VALOR", "saca da conta", `
Saca da própria conta. Quando a resposta se perde, repita o comando: o saque é feito uma só vez (bankmore help payments).`, `
  bankmore withdraw 80,00`},
		lang.English: {"withdraw AMOUNT", "withdraws from the account", `
Withdraws from the own account. If the answer is lost, repeat the command: the withdrawal is made once (bankmore help payments).`, `
  bankmore withdraw 80.00`},
	},
	"transfer": {
		lang.Portuguese: {"transfer CONTA VALOR", "transfere para outra conta", `
Transfere para outra conta do banco. Com --watch, espera até a transferência terminar. Quando a resposta se perde, repita o
comando: a transferência é feita uma só vez (bankmore help payments).`, `
  bankmore transfer 1048576021 150,00
  bankmore transfer 1048576021 150,00 --watch
  bankmore transfer 1048576021 900,00 --key aluguel-2026-11   # em um script: nunca duas vezes`},
		lang.English: {"transfer ACCOUNT AMOUNT", "transfers to another account", `
Transfers to another account of the bank. With --watch, waits until the transfer has ended. If the answer is lost, repeat the
command: the transfer is made once (bankmore help payments).`, `
  bankmore transfer 1048576021 150.00
  bankmore transfer 1048576021 150.00 --watch
  bankmore transfer 1048576021 900.00 --key rent-2026-11   # in a script: never twice`},
	},
	"transfers": {
		lang.Portuguese: {"transfers", "lista as transferências", `
Lista as transferências enviadas e recebidas, as mais novas primeiro.`, `
  bankmore transfers
  bankmore transfers --all --json`},
		lang.English: {"transfers", "lists the transfers", `
Lists the transfers that were sent and received, newest first.`, `
  bankmore transfers
  bankmore transfers --all --json`},
	},
	"statement": {
		lang.Portuguese: {"statement", "mostra o extrato", `
Mostra os movimentos da conta, os mais novos primeiro. Os horários da tabela são os desta máquina.
Com --csv ou --ofx, grava o período como arquivo, o mais antigo primeiro, no fuso do banco. Se o arquivo não chegar inteiro, o
que havia com esse nome fica como estava. O CSV em português tem vírgula decimal, em inglês (BANKMORE_LANG=en) ponto.`, `
  bankmore statement
  bankmore statement --from 2026-11-01 --to 2026-11-30 --all
  bankmore statement --from 2026-11-01 --to 2026-11-30 --csv -o novembro.csv   # para uma planilha
  bankmore statement --from 2026-11-01 --ofx -o novembro.ofx                   # para um programa de finanças
  bankmore statement --all --json | jq -r '.items[] | [.created_at, .kind, .amount] | @csv'`},
		lang.English: {"statement", "shows the statement", `
Shows the movements of the account, newest first. Times in the table are this machine's.
With --csv or --ofx, writes the period as a file, oldest first, in the bank's time zone. If the file does not come whole,
what had its name stays as it was. The CSV in English has a decimal point, in Portuguese (BANKMORE_LANG=pt) a comma.`, `
  bankmore statement
  bankmore statement --from 2026-11-01 --to 2026-11-30 --all
  bankmore statement --from 2026-11-01 --to 2026-11-30 --csv -o november.csv   # for a spreadsheet
  bankmore statement --from 2026-11-01 --ofx -o november.ofx                   # for an accounting program
  bankmore statement --all --json | jq -r '.items[] | [.created_at, .kind, .amount] | @csv'`},
	},
	"fees": {
		lang.Portuguese: {"fees", "lista as tarifas", `
Lista as tarifas das transferências, as mais novas primeiro. Uma tarifa pendente é cobrada quando houver saldo.`, `
  bankmore fees`},
		lang.English: {"fees", "lists the fees", `
Lists the fees of transfers, newest first. A pending fee is charged when there is money.`, `
  bankmore fees`},
	},
	"pending": {
		lang.Portuguese: {"pending", "lista os pagamentos sem desfecho conhecido", `
Lista os pagamentos desta máquina cujo desfecho não é conhecido: a resposta se perdeu, ou a transferência não terminou.`, `
  bankmore pending
  bankmore pending repeat 7k3zq2ma   # envia de novo com a mesma chave: paga uma só vez
  bankmore pending forget 7k3zq2ma   # o mesmo comando de pagamento será outro pagamento`},
		lang.English: {"pending", "lists the payments whose outcome is not known", `
Lists the payments of this machine whose outcome is not known: the answer was lost, or the transfer has not ended.`, `
  bankmore pending
  bankmore pending repeat 7k3zq2ma   # sends it again with the same key: pays once
  bankmore pending forget 7k3zq2ma   # the same payment command will be another payment`},
	},
	"pending repeat": {
		lang.Portuguese: {"repeat ID", "envia o pagamento de novo, com a mesma chave", `
Envia o pagamento de novo com a mesma chave, quando quer que tenha sido iniciado. Se o banco já o fez, responde o que houve;
se não, ele é feito agora. De um modo ou de outro, há um só pagamento.`, `
  bankmore pending repeat 7k3zq2ma --watch`},
		lang.English: {"repeat ID", "sends the payment again, with the same key", `
Sends the payment again with the same key, whenever it was begun. If the bank has made it, the bank says so; if not, it is made
now. Either way there is one payment.`, `
  bankmore pending repeat 7k3zq2ma --watch`},
	},
	"pending forget": {
		lang.Portuguese: {"forget ID", "esquece o pagamento nesta máquina", `
Esquece a chave do pagamento nesta máquina. O banco não é avisado: se recebeu o pagamento, ele está feito, e o extrato o mostra.
Depois disto, o mesmo comando é outro pagamento.`, `
  bankmore pending forget 7k3zq2ma`},
		lang.English: {"forget ID", "forgets the payment on this machine", `
Forgets the key of the payment on this machine. The bank is not told: if it has received the payment, it is made, and the
statement shows it. After this, the same command is another payment.`, `
  bankmore pending forget 7k3zq2ma`},
	},
	"completion": {
		lang.Portuguese: {"completion SHELL", "escreve o complemento para bash, zsh, fish ou powershell", `
Escreve o script que completa comandos e opções com a tecla Tab.`, `
  source <(bankmore completion bash)                   # nesta sessão, com o pacote bash-completion
  bankmore completion bash > ~/.local/share/bash-completion/completions/bankmore
  bankmore completion zsh > "${fpath[1]}/_bankmore"
  bankmore completion fish | source
  bankmore completion powershell | Out-String | Invoke-Expression`},
		lang.English: {"completion SHELL", "writes the completion for bash, zsh, fish or powershell", `
Writes the script that completes commands and options with the Tab key.`, `
  source <(bankmore completion bash)                   # in this session, with the package bash-completion
  bankmore completion bash > ~/.local/share/bash-completion/completions/bankmore
  bankmore completion zsh > "${fpath[1]}/_bankmore"
  bankmore completion fish | source
  bankmore completion powershell | Out-String | Invoke-Expression`},
	},
	"help": {
		lang.Portuguese: {"help [COMANDO]", "mostra a ajuda de um comando ou assunto", `
Mostra a ajuda de um comando ou assunto.`, `
  bankmore help transfer
  bankmore help exit-codes`},
		lang.English: {"help [COMMAND]", "shows the help of a command or topic", `
Shows the help of a command or topic.`, `
  bankmore help transfer
  bankmore help exit-codes`},
	},
	"payments": {
		lang.Portuguese: {"payments", "por que um comando repetido paga uma só vez", `
Cada depósito, saque e transferência tem uma chave, que fica no disco antes de o pedido ser enviado e até você ver o desfecho.

  O desfecho é conhecido (feito, ou recusado)   o mesmo comando é outro pagamento
  O desfecho não é conhecido                    o mesmo comando é a repetição: mesma chave, um só pagamento
  O mesmo, e a última tentativa tem mais de     nada é enviado (código 7): diga com ` + "`bankmore pending`" + ` se é a
  15 minutos                                    repetição ou outro pagamento

"O mesmo comando" é: mesmo banco, mesma conta, mesmo destino, mesmo valor. Dois comandos iguais ao mesmo tempo esperam um pelo
outro. As chaves ficam nesta máquina: outra máquina, ou outro usuário, não as conhece.
Um script que possa ser executado de novo mais tarde deve usar uma chave própria, como --key aluguel-2026-11: com ela, o mesmo
pagamento nunca é feito duas vezes, em nenhuma máquina.`, ""},
		lang.English: {"payments", "why a repeated command pays once", `
Each deposit, withdrawal and transfer has a key, which is on the disk before the request is sent and until you see the outcome.

  The outcome is known (made, or refused)       the same command is another payment
  The outcome is not known                      the same command is the repetition: same key, one payment
  The same, and the last try is more than       nothing is sent (code 7): say with ` + "`bankmore pending`" + ` whether it is
  15 minutes ago                                the repetition or another payment

"The same command" is: same bank, same account, same destination, same amount. Two equal commands at the same time wait for
each other. Keys stay on this machine: another machine, or another user, does not know them.
A script that may run again later should use a key of its own, such as --key rent-2026-11: with it, the same payment is never
made twice, on whichever machine.`, ""},
	},
	"exit-codes": {
		lang.Portuguese: {"exit-codes", "o que os códigos de saída dizem a um script", `
  0    feito; de um pagamento: feito de fato
  1    problema desta máquina, como disco cheio, ou a resposta não pôde ser escrita
  2    o comando está errado; nada foi enviado
  3    o banco recusou; nada mudou
  4    ninguém entrou, ou a sessão terminou: bankmore login
  5    o banco não responde; nada mudou
  6    o desfecho não é conhecido, ou a transferência não terminou: repita o mesmo comando, que paga uma só vez
  7    o mesmo pagamento, de mais de 15 minutos atrás, não tem desfecho conhecido; nada foi enviado: bankmore pending
  130  interrompido, e nada mudou

Com --json, a resposta é um objeto na saída padrão, e um problema é um objeto no erro padrão:
{"error":{"code":3,"type":"INSUFFICIENT_BALANCE","message":"…"}}`, ""},
		lang.English: {"exit-codes", "what the exit codes tell a script", `
  0    done; of a payment: made indeed
  1    a problem of this machine, such as a full disk, or the answer could not be written
  2    the command is wrong; nothing was sent
  3    the bank has refused; nothing has changed
  4    nobody has logged in, or the session has ended: bankmore login
  5    the bank does not answer; nothing has changed
  6    the outcome is not known, or the transfer has not ended: repeat the same command, which pays once
  7    the outcome of the same payment, more than 15 minutes ago, is not known; nothing was sent: bankmore pending
  130  interrupted, and nothing has changed

With --json, the answer is an object on the standard output, and a problem is an object on the standard error:
{"error":{"code":3,"type":"INSUFFICIENT_BALANCE","message":"…"}}`, ""},
	},
	"environment": {
		lang.Portuguese: {"environment", "as variáveis de ambiente, e onde ficam os arquivos", `
  BANKMORE_URL       endereço do banco (http://127.0.0.1:8080)
  BANKMORE_PROFILE   o mesmo que --profile
  BANKMORE_LANG      pt ou en; sem ela valem LC_ALL, LC_MESSAGES e LANG
  BANKMORE_KEYRING   off: guarda a sessão em um arquivo, mesmo que haja chaveiro
  XDG_STATE_HOME     pasta dos arquivos (~/.local/state): bankmore/sessions, bankmore/payments
  HTTPS_PROXY, HTTP_PROXY, NO_PROXY, SSL_CERT_FILE   como de costume`, ""},
		lang.English: {"environment", "the environment variables, and where files are", `
  BANKMORE_URL       address of the bank (http://127.0.0.1:8080)
  BANKMORE_PROFILE   the same as --profile
  BANKMORE_LANG      pt or en; without it LC_ALL, LC_MESSAGES and LANG count
  BANKMORE_KEYRING   off: keeps the session in a file, even if there is a keyring
  XDG_STATE_HOME     folder of the files (~/.local/state): bankmore/sessions, bankmore/payments
  HTTPS_PROXY, HTTP_PROXY, NO_PROXY, SSL_CERT_FILE   as usual`, ""},
	},
}
