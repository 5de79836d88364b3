// The page: Swagger UI with a selector of documents, in Portuguese, with examples that work for whoever reads it.
"use strict";

(() => {
	// --- examples ---
	// The documents hold fixed examples: two customers, their account numbers, a transfer and a fee. Another reader may have
	// registered those customers already, and no bank gives out account numbers that a document chooses. So each browser has
	// two CPFs of its own, and the page puts what it has seen in answers in the place of the documents' examples.
	const written = {
		cpf: "529.982.247-25", otherCPF: "111.444.777-35", number: "7907027952", otherNumber: "1048576021",
		transfer: "019ab0f2-5a3e-7c41-9d3b-2f6f0c9e8a11", fee: "0190f3a1-7c00-7000-8000-000000000001",
	};
	const place = "bankmore.examples"; // in the browser's storage
	let known;
	try {
		known = JSON.parse(localStorage.getItem(place));
	} catch {
		// It is not ours: begin again.
	}
	if (!known?.cpf) {
		begin();
	}

	function begin() {
		known = {cpf: newCPF(), otherCPF: newCPF()};
		localStorage.setItem(place, JSON.stringify(known));
	}

	// newCPF draws a CPF with valid check digits.
	function newCPF() {
		const digits = Array.from(crypto.getRandomValues(new Uint8Array(9)), (byte) => byte % 10);
		digits[1] = (digits[0] + 1) % 10; // eleven equal digits are no CPF
		for (const length of [9, 10]) {
			const sum = digits.slice(0, length).reduce((sum, digit, i) => sum + digit * (length + 1 - i), 0);
			digits[length] = sum * 10 % 11 % 10;
		}
		return digits.join("").replace(/(...)(...)(...)(..)/, "$1.$2.$3-$4");
	}

	// replacing returns what puts the values of `after` in the place of those of `before`, in any text. A value that is not
	// known stands as the documents have it.
	function replacing(before, after) {
		const pairs = Object.entries(written).map(([name, example]) => [before[name] ?? example, after[name] ?? example]);
		const values = new Map(pairs);
		const any = new RegExp([...values.keys()].join("|").replaceAll(".", "\\."), "g");
		return (text) => text.replace(any, (value) => values.get(value));
	}

	// learn takes from an answer what an example may be of. A newer answer replaces what an older one has said.
	function learn(response) {
		const path = new URL(response.url).pathname.replace(/\/$/, "");
		const answer = response.ok && response.body || {};
		const before = {...known};
		if (response.status === 204 && path === "/api/account/deactivate") {
			begin(); // a closed account is of no use
		} else if (path === "/api/account/register" && answer.account_number) {
			if (known.number && known.number !== answer.account_number) {
				known.otherNumber = answer.account_number;
			} else {
				known.number = answer.account_number;
			}
		} else if (path === "/api/account/login" && answer.account_number && known.number !== answer.account_number) {
			known.otherNumber = known.number; // if Bia has logged in, then she sends to Ana
			known.number = answer.account_number;
		} else if (path === "/api/transfer" && answer.transfer_id) {
			known.transfer = answer.transfer_id;
		} else if (path.startsWith("/api/fee/") && answer.items?.length) {
			known.fee = answer.items[0].id;
		}
		const replace = replacing(before, known);
		localStorage.setItem(place, JSON.stringify(known));
		setTimeout(() => adapt(replace)); // after Swagger UI has taken in this answer
	}

	// adapt changes the document that is shown. Swagger UI would resolve its references anew, and meanwhile forget the answers
	// that it shows. So adapt changes what is resolved, too, and keeps Swagger UI from forgetting it.
	let adapting = false;
	const keeping = () => ({
		statePlugins: {spec: {wrapActions: {
			invalidateResolvedSubtreeCache: (original) => () => adapting ? {type: "kept"} : original(),
		}}},
	});

	function adapt(replace) {
		const shown = ui.specSelectors.specStr(), adapted = replace(shown);
		if (adapted === shown) {
			return;
		}
		adapting = true;
		try {
			ui.specActions.updateSpec(adapted);
			const resolved = JSON.stringify(ui.getState().getIn(["spec", "resolvedSubtrees"]) ?? {});
			ui.specActions.updateResolvedSubtree([], JSON.parse(replace(resolved)));
		} finally {
			adapting = false;
		}
		// The bodies in forms that are open already.
		ui.getState().getIn(["oas3", "requestData"])?.forEach((methods, path) => methods.forEach((data, method) => {
			const body = data.get("bodyValue");
			if (typeof body === "string" && replace(body) !== body) {
				ui.oas3Actions.setRequestBodyValue({value: replace(body), pathMethod: [path, method]});
			}
		}));
	}

	// --- documents ---
	const selector = document.getElementById("document");
	const parameter = "documento"; // of the page's URL, so that a document can be linked to
	const address = (name) => `/api/schema/${name}`;

	function chosen() {
		const name = new URLSearchParams(location.search).get(parameter);
		return [...selector.options].some((option) => option.value === name) ? name : selector.options[0].value;
	}

	function show(name) {
		selector.value = name;
		ui.specActions.updateUrl(address(name));
		ui.specActions.download(address(name));
	}

	// --- Portuguese ---
	// Swagger UI has no translations. What it shows goes through createElement of its React, so the page translates there.
	const portuguese = {
		"Try it out ": "Experimentar ", "Cancel": "Cancelar", "Reset": "Restaurar", "Execute": "Executar", "Clear": "Limpar",
		"Authorize": "Autorizar", "Authorized": "Autorizado", "Logout": "Sair", "Close": "Fechar", "Value:": "Valor:",
		"Available authorizations": "Autorizações", "Apply credentials": "Aplicar", "Remove authorization": "Remover autorização",
		"Parameters": "Parâmetros", "No parameters": "Sem parâmetros", "Name": "Nome", "Description": "Descrição",
		"Request body": "Corpo da requisição", "Request URL": "URL da requisição", "Media type": "Tipo de mídia",
		"Responses": "Respostas", "Server response": "Resposta do servidor", "Response body": "Corpo da resposta",
		"Response headers": "Cabeçalhos da resposta", "Code": "Código", "Details": "Detalhes", "Links": "Ligações",
		"No links": "Sem ligações", "Download": "Baixar", "Examples": "Exemplos", "Examples: ": "Exemplos: ",
		"Example Value": "Exemplo", "Example Description": "Descrição do exemplo", "Schema": "Esquema", "Schemas": "Esquemas",
		"Servers": "Servidores", "Headers:": "Cabeçalhos:", "Copy to clipboard": "Copiar", " Undocumented ": " Não documentada ",
		"Send empty value": "Enviar vazio", "Errors": "Erros", "Failed to load API definition.": "O documento não pôde ser carregado.",
		"Request duration": "Duração da requisição", "Controls ": "Controla o cabeçalho ", " header.": ".", "Edit Value": "Editar", "Type": "Tipo", "Loading": "Carregando",
	};
	const attributes = ["title", "placeholder", "aria-label"];

	function translating({React}) {
		const {createElement} = React;
		const translate = (word) => Object.hasOwn(portuguese, word) ? portuguese[word] : word;
		React.createElement = (type, props, ...children) => {
			const found = attributes.filter((name) => Object.hasOwn(portuguese, props?.[name]));
			if (found.length > 0) {
				props = {...props, ...Object.fromEntries(found.map((name) => [name, portuguese[props[name]]]))};
			}
			return createElement(type, props, ...children.map(translate));
		};
		return {};
	}

	const ui = SwaggerUIBundle({
		dom_id: "#swagger-ui",
		url: address(chosen()),
		presets: [SwaggerUIBundle.presets.apis],
		plugins: [translating, keeping],
		deepLinking: true,
		displayRequestDuration: true,
		defaultModelsExpandDepth: -1,
		persistAuthorization: true, // under the name of the security scheme, which is "token" in each document
		syntaxHighlight: {activated: true, theme: "agate"},
		validatorUrl: null,
		responseInterceptor: (response) => {
			if (new URL(response.url).pathname.startsWith(address(""))) {
				response.text = replacing(written, known)(response.text);
			} else {
				learn(response);
			}
			return response;
		},
	});

	selector.value = chosen();
	selector.addEventListener("change", () => {
		history.pushState(null, "", `?${parameter}=${selector.value}`);
		show(selector.value);
	});
	addEventListener("popstate", () => {
		if (selector.value !== chosen()) {
			show(chosen());
		}
	});
})();
