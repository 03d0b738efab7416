-- Copyright The vector-store-operator Authors.
-- SPDX-License-Identifier: Apache-2.0

-- Maps the conditions to a health status. Argo CD has no status for a cancelled batch: a batch that
-- was cancelled as requested is Healthy, because its state matches its manifest.
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

-- A status of an older generation, or no status, is not the health of the current spec.
if obj.status == nil or obj.status.observedGeneration ~= obj.metadata.generation then
  return { status = "Progressing", message = "waiting for the operator to reconcile this generation" }
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
