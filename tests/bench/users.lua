-- The load of capacity.py: a POST of another user each time; prints what load.lua prints.
-- Arguments after `--`: the body's size in bytes, and what the ids begin with.
local size, prefix, number

function init(arguments)
    size, prefix, number = tonumber(arguments[1]), arguments[2], 0
    wrk.method = "POST"
    wrk.headers["Content-Type"] = "application/json"
end

function request()
    number = number + 1
    local start = string.format('{"id":"%s-%09d","name":"Ada Lovelace","email":"ada@example.org","note":"', prefix, number)
    return wrk.format("POST", "/users/save", nil, start .. string.rep("x", math.max(0, size - #start - 2)) .. '"}')
end

function done(summary, latency)
    local errors = summary.errors
    io.write(string.format('\nRESULT {"replies": %d, "refused": %d, "failed": %d, "seconds": %.6f}\n', summary.requests,
        errors.status, errors.connect + errors.read + errors.write + errors.timeout, summary.duration / 1e6))
end
