#!/usr/bin/env python3
"""Reads the statements of a running system with programs that are not ours.

    check.py http://127.0.0.1:8080

Two customers open accounts, and one pays the other. Then a spreadsheet's reader (Python's csv, with the settings of pt-BR and of
en-US) reads the payer's statement as CSV, and two libraries that accounting programs use (ofxtools and ofxparse) read it as OFX.
"""

import csv
import datetime
import decimal
import io
import json
import random
import sys
import time
import urllib.request

import ofxparse
import ofxtools.Parser

api = sys.argv[1].rstrip("/") + "/api"
NAME = 'Bia "B" Souza; & Filhos, São João'
FORMULA = '=HYPERLINK("http://example.com";"clique")'


def call(path, body=None, token=None, headers=None):
    """Sends a request and returns the answer's headers and body."""
    request = urllib.request.Request(api + path, data=None if body is None else json.dumps(body).encode())
    request.add_header("Content-Type", "application/json")
    for name, value in (headers or {}).items():
        request.add_header(name, value)
    if token:
        request.add_header("Authorization", "Bearer " + token)
    with urllib.request.urlopen(request, timeout=30) as answer:
        return answer.headers, answer.read()


def new_cpf():
    """Returns a random CPF with valid check digits."""
    digits = [random.randrange(10) for _ in range(9)]
    for _ in range(2):
        total = sum(d * (len(digits) + 1 - i) for i, d in enumerate(digits))
        digits.append(0 if total % 11 < 2 else 11 - total % 11)
    return "".join(map(str, digits))


def customer(name):
    """Opens an account and returns the answer to its login."""
    cpf = new_cpf()
    call("/account/register/", {"cpf": cpf, "name": name, "password": "senha-segura"})
    return json.loads(call("/account/login/", {"cpf": cpf, "password": "senha-segura"})[1])


def want(what, got, expected):
    """Ends the program unless the two are equal."""
    if got != expected:
        sys.exit(f"{what}: got {got!r}, want {expected!r}")


ana, bia, caio = customer("Ana Souza"), customer(NAME), customer(FORMULA)
run = str(random.random())
call("/account/movement/", {"request_id": run, "account_number": ana["account_number"], "amount": "1000.00", "type": "C"}, ana["token"])
for payee, amount in (bia, "150.00"), (caio, "0.01"):
    call("/transfer/", {"request_id": run + amount, "destination_account_number": payee["account_number"], "amount": amount}, ana["token"])
for _ in range(300):  # the two fees come through Kafka
    items = json.loads(call("/account/statement/", token=ana["token"])[1])["items"]
    if len(items) == 5:
        break
    time.sleep(0.1)
items.reverse()
fees = sum(decimal.Decimal(i["amount"]) for i in items if i["kind"] == "fee")
balance = decimal.Decimal("849.99") - fees
period = "from=" + datetime.datetime.fromisoformat(items[0]["created_at"]).strftime("%Y-%m-%dT%H:%M:%SZ")

# As a spreadsheet reads it, in Brazil and in the USA.
for language, delimiter, sign in ("pt-BR,pt;q=0.9", ";", ","), ("en-US", ",", "."):
    headers, body = call("/account/statement/?" + period, None, ana["token"], {"Accept": "text/csv", "Accept-Language": language})
    want("Content-Type", headers["Content-Type"], "text/csv; charset=utf-8; header=present")
    text = body.decode("utf-8-sig")
    want("delimiter", csv.Sniffer().sniff(text, ";,\t").delimiter, delimiter)
    rows = list(csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter))
    value = lambda cell: decimal.Decimal(cell.replace(sign, "."))
    want("rows", [r["id"] for r in rows[1:-1]], [i["id"] for i in items])
    want("opening balance", (rows[0]["tipo"], value(rows[0]["saldo"])), ("saldo inicial", 0))
    want("closing balance", (rows[-1]["tipo"], value(rows[-1]["saldo"])), ("saldo final", balance))
    want("sum", sum(value(r["valor"]) for r in rows[1:-1]), balance)
    want("names", [r["nome_contraparte"] for r in rows if r["valor"] and r["tipo"] == "transferência"], [NAME, "'" + FORMULA])
    for row in rows[1:-1]:
        datetime.datetime.fromisoformat(row["data"] + " " + row["hora"])
        for cell in row.values():
            if cell[:1] in "=+@\t\r" and cell:
                sys.exit(f"a spreadsheet takes {cell!r} for a formula")

headers, body = call("/account/statement/?format=ofx&" + period, token=ana["token"])
want("Content-Type", headers["Content-Type"], "application/x-ofx")
created = [datetime.datetime.fromisoformat(i["created_at"]) for i in items]
kinds = {"deposit": "DEP", "transfer": "XFER", "fee": "FEE"}

tree = ofxtools.Parser.OFXTree()
tree.parse(io.BytesIO(body))
statement = tree.convert().statements[0]
want("account", (statement.account.acctid, statement.curdef), (ana["account_number"], "BRL"))
want("LEDGERBAL", statement.ledgerbal.balamt, balance)
want("opening balance", [b.value for b in statement.ballist], [0])
want("FITID", [t.fitid for t in statement.transactions], [i["id"] for i in items])
want("TRNTYPE", [t.trntype for t in statement.transactions], [kinds[i["kind"]] for i in items])
want("TRNAMT", sum(t.trnamt for t in statement.transactions), balance)
want("NAME", [t.name for t in statement.transactions if t.trntype == "XFER"], [NAME[:32], FORMULA[:32]])
for transaction, at in zip(statement.transactions, created):
    if abs(transaction.dtposted - at) > datetime.timedelta(milliseconds=1):
        sys.exit(f"DTPOSTED is {transaction.dtposted}, want {at}")

# ofxparse does not read the encoding that XML declares, only that of OFX 1, so it is told here.
account = ofxparse.OfxParser.parse(io.BytesIO(b"ENCODING:UTF-8\n\n" + body)).account
want("account of ofxparse", account.account_id, ana["account_number"])
want("balance of ofxparse", account.statement.balance, balance)
want("ids of ofxparse", [t.id for t in account.statement.transactions], [i["id"] for i in items])
want("sum of ofxparse", sum(t.amount for t in account.statement.transactions), balance)
for transaction, at in zip(account.statement.transactions, created):
    if abs(transaction.date.replace(tzinfo=datetime.timezone.utc) - at) > datetime.timedelta(milliseconds=1):
        sys.exit(f"the date of ofxparse is {transaction.date}, want {at}")
print(f"a spreadsheet's reader, ofxtools and ofxparse agree: {len(items)} movements, balance {balance}")
