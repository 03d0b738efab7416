-- Copyright The vector-store-operator Authors.
-- SPDX-License-Identifier: Apache-2.0

-- The field goes, so that nothing differs from a manifest that never had it.
obj.spec.suspend = nil
return obj
