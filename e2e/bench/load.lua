-- The script of wrk. The environment says what to send:
--   OPERATION  one of the functions below
--   CUSTOMERS  a file with one customer per line: token, space, account number
--   RUN        what no other run has; every request id begins with it
--   FIGURES    the file that gets what wrk has measured, as JSON

local threads = {}

function setup(thread)
	table.insert(threads, thread)
	thread:set("number", #threads)
end

local tokens, numbers, run, request_of
local sent = 0

function init()
	tokens, numbers, run = {}, {}, os.getenv("RUN") .. "-" .. number .. "-"
	for line in io.lines(os.getenv("CUSTOMERS")) do
		local token, account = line:match("^(%S+) (%S+)$")
		table.insert(tokens, "Bearer " .. token)
		table.insert(numbers, account)
	end
	math.randomseed(os.time() * 100 + number)
	request_of = operations[os.getenv("OPERATION")]
	statuses = {}
end

local function post(path, token, body)
	return wrk.format("POST", path, { ["Content-Type"] = "application/json", ["Authorization"] = token }, body)
end

local function get(path, token)
	return wrk.format("GET", path, { ["Authorization"] = token })
end

-- another draws a customer who is not the one with that index.
local function another(than)
	local drawn = math.random(#numbers - 1)
	return drawn < than and drawn or drawn + 1
end

local function transfer(from, to, token)
	sent = sent + 1
	return post("/api/transfer", token, '{"request_id":"' .. run .. sent .. '","destination_account_number":"' .. numbers[to] .. '","amount":"0.01"}')
end

operations = {
	-- What the way costs by itself: a transfer without a token goes through the same three hops and is refused.
	floor = function()
		local from = math.random(#numbers)
		return transfer(from, another(from), nil)
	end,
	-- Anybody pays anybody.
	uniform = function()
		local from = math.random(#numbers)
		return transfer(from, another(from), tokens[from])
	end,
	-- Everybody pays the first customer.
	hot = function()
		local from = another(1)
		return transfer(from, 1, tokens[from])
	end,
	deposit = function()
		local who = math.random(#numbers)
		sent = sent + 1
		return post("/api/account/movement/", tokens[who], '{"request_id":"' .. run .. sent .. '","account_number":"' .. numbers[who] .. '","type":"C","amount":"0.01"}')
	end,
	balance = function() return get("/api/account/balance/", tokens[math.random(#numbers)]) end,
	statement = function() return get("/api/account/statement/?limit=20", tokens[math.random(#numbers)]) end,
}

function request() return request_of() end

function response(status) statuses[status] = (statuses[status] or 0) + 1 end

function done(summary, latency)
	local all = {}
	for _, thread in ipairs(threads) do
		for status, count in pairs(thread:get("statuses")) do all[status] = (all[status] or 0) + count end
	end
	local counts = {}
	for status, count in pairs(all) do table.insert(counts, string.format('"%d":%d', status, count)) end
	local file = assert(io.open(os.getenv("FIGURES"), "w"))
	file:write(string.format(
		'{"microseconds":%d,"p50":%d,"p99":%d,"statuses":{%s},"errors":{"connect":%d,"read":%d,"write":%d,"timeout":%d}}',
		summary.duration, latency:percentile(50), latency:percentile(99), table.concat(counts, ","),
		summary.errors.connect, summary.errors.read, summary.errors.write, summary.errors.timeout))
	file:close()
end
