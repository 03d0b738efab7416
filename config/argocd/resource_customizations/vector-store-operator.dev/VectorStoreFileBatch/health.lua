-- Copyright The vector-store-operator Authors.
-- SPDX-License-Identifier: Apache-2.0

-- Of what the conditions say, Argo CD has a word for each but one: a batch that was cancelled
-- as asked is Healthy, like one that completed, since it ended as its manifest wanted.
local function condition(type)
  if obj.status ~= nil and obj.status.conditions ~= nil then
    for _, c in ipairs(obj.status.conditions) do
      if c.type == type then
        return c
      end
    end
  end
  return { status = "Unknown", reason = "", message = "" }
end

-- What the status says of an older spec, or before the first visit, is no judgement of this one.
if obj.status == nil or obj.status.observedGeneration ~= obj.metadata.generation then
  return { status = "Progressing", message = "waiting for the operator to look at it" }
end

local ready = condition("Ready")
local health = "Progressing"
if condition("Stalled").status == "True" then
  health = "Degraded"
elseif ready.status == "True" then
  health = "Healthy"
elseif ready.reason == "Suspended" then
  health = "Suspended"
end
return { status = health, message = ready.message }
