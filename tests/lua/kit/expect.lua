-- SPDX-License-Identifier: MIT
-- expect: for the tests of the library. Each raises at the caller's line.
local expect = {}

local function show(v) return type(v) == "table" and json.encode(v) or tostring(v) end

function expect.equal(got, want)
  if got ~= want then error("expected " .. show(want) .. ", got " .. show(got), 2) end
end

function expect.truth(got, words)
  if not got then error(words or "expected something true", 2) end
end

-- Lists and maps of plain values.
function expect.same(got, want)
  local a, b = json.encode(got), json.encode(want)
  if a ~= b then error("expected " .. b .. ", got " .. a, 2) end
end

function expect.near(got, want, share)
  if math.abs(got - want) > want * share then error("expected about " .. want .. ", got " .. got, 2) end
end

-- fn must raise words that contain `words`, behind the place of the test itself: whoever wrote the mistake is told, not the library.
function expect.refused(words, fn)
  local ok, why = pcall(fn)
  if ok then error("expected to be refused: " .. words, 2) end
  if not tostring(why):find("^[%w_]+_test%.lua:%d+: ") then error("the place is not the caller's: " .. tostring(why), 2) end
  if not tostring(why):find(words, 1, true) then error("expected '" .. words .. "', got '" .. tostring(why) .. "'", 2) end
end

return expect
