-- What wrk asks. Arguments: the method, a prefix that no other run has, whether with an Idempotency-Key, and the paths.
-- The last line printed is the result in JSON, as loadtest/client.py prints it; times are in microseconds.

local method, prefix, keyed
local paths = {}
local count = 0

local BODY = '{"firstName":"Ada","lastName":"Lovelace","email":"%s%d@example.com","timezone":"Europe/London",'
    .. '"birthdayDate":"1990-12-10","locationCity":"London"}'

function init(args)
    method, prefix, keyed = args[1], args[2], args[3] == "keyed"
    for line in io.lines(args[4]) do
        paths[#paths + 1] = line
    end
end

function request()
    count = count + 1
    local path = paths[count % #paths + 1]
    if method == "GET" then
        return wrk.format("GET", path)
    end
    local headers = { ["Content-Type"] = "application/json" }
    if keyed then
        headers["Idempotency-Key"] = prefix .. count
    end
    return wrk.format(method, path, headers, string.format(BODY, prefix, count))
end

function done(summary, latency, requests)
    local errors = summary.errors
    io.write(string.format(
        '\n{"requests":%d,"microseconds":%d,"unanswered":%d,"refused":%d,"p50":%d,"p95":%d,"p99":%d}\n',
        summary.requests, summary.duration, errors.connect + errors.read + errors.write + errors.timeout,
        errors.status, latency:percentile(50), latency:percentile(95), latency:percentile(99)))
end
