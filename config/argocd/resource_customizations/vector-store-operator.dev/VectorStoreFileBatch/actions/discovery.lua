-- Copyright The vector-store-operator Authors.
-- SPDX-License-Identifier: Apache-2.0

local finished = false
if obj.status ~= nil and obj.status.conditions ~= nil then
  for _, c in ipairs(obj.status.conditions) do
    if c.type == "Finished" and c.status == "True" then
      finished = true
    end
  end
end

-- A batch that is finished, being deleted or already being cancelled cannot be cancelled or suspended.
local ending = finished or obj.spec.cancel == true or obj.metadata.deletionTimestamp ~= nil
local actions = {}
if not ending then
  actions.cancel = { iconClass = "fa fa-fw fa-stop" }
end
if obj.spec.suspend == true and not finished then
  actions.resume = { iconClass = "fa fa-fw fa-play" }
elseif not ending then
  actions.suspend = { iconClass = "fa fa-fw fa-pause" }
end
return actions
