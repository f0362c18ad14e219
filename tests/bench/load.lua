-- The load: one POST, always the same; prints what wrk measured as one line of JSON.
-- Arguments after `--`: the body's size in bytes.
local function user_of(bytes)
    local start = '{"id":"u-000017","name":"Ada Lovelace","email":"ada@example.org","note":"'
    return start .. string.rep("x", math.max(0, bytes - #start - 2)) .. '"}'
end

function init(arguments)
    wrk.method = "POST"
    wrk.headers["Content-Type"] = "application/json"
    wrk.body = user_of(tonumber(arguments[1] or "95"))
    request_text = wrk.format("POST", "/users/save")
end

function request()
    return request_text
end

function done(summary, latency)
    local errors = summary.errors
    io.write(string.format(
        '\nRESULT {"replies": %d, "refused": %d, "failed": %d, "seconds": %.6f, ' ..
        '"p50_ms": %.3f, "p99_ms": %.3f, "p999_ms": %.3f}\n',
        summary.requests, errors.status, errors.connect + errors.read + errors.write + errors.timeout,
        summary.duration / 1e6, latency:percentile(50) / 1e3, latency:percentile(99) / 1e3,
        latency:percentile(99.9) / 1e3))
end
