-- Copyright The vector-store-operator Authors.
-- SPDX-License-Identifier: Apache-2.0

-- Removes the field, so that the object matches a manifest that never set it.
obj.spec.suspend = nil
return obj
