-- SPDX-FileCopyrightText: 2026 health_orthanc contributors
-- SPDX-License-Identifier: AGPL-3.0-or-later

-- Orthanc compares the keys in the step's item of a worklist query itself,
-- after the Python plugin has done so: as text, date and time each on its
-- own.  This hands them over to the plugin, which compares them as DICOM
-- says.  0040,0270 is no key of worklists, so that Orthanc passes it over;
-- what is left empty in the item matches everything.

local STEPS = '0040,0100'
local HANDED_OVER = '0040,0270'
local CHARACTER_SET = '0008,0005'
local PREGNANCY_STATUS = '0010,21c0'

-- Group lengths and private elements are keys of nothing: consoles send
-- them all the same, and Orthanc refuses a query that has one in the item.
local function isNoKey(tag)
  local group, element = string.match(tag, '^(%x+),(%x+)$')
  return group ~= nil and (
    element == '0000' or tonumber(group, 16) % 2 == 1)
end

function IncomingWorklistRequestFilter(query, origin)
  -- A lone wildcard asks for nothing, and Orthanc refuses it for dates.
  for tag, value in pairs(query) do
    if value == '*' then
      query[tag] = ''
    end
  end
  local steps = query[STEPS]
  local step = type(steps) == 'table' and steps[1]
  if type(step) == 'table' then
    local asked = {}
    for tag, value in pairs(step) do
      if isNoKey(tag) then
        step[tag] = nil
      elseif type(value) == 'string' and value ~= '' and tag ~= CHARACTER_SET then
        if value ~= '*' then
          asked[tag] = value
        end
        step[tag] = ''
      end
    end
    if next(asked) ~= nil then
      query[HANDED_OVER] = {asked}
    end
  end
  -- The only key that is a binary number: without a value it does not come
  -- through to here, and whoever asked for it would read nothing as "no".
  if query[PREGNANCY_STATUS] == nil then
    query[PREGNANCY_STATUS] = ''
  end
  -- The values are UTF-8 by now; Orthanc cannot write the sets that switch.
  local set = query[CHARACTER_SET]
  if type(set) == 'string' and string.find(set, '\\', 1, true) then
    query[CHARACTER_SET] = 'ISO_IR 192'
  end
  return query
end
