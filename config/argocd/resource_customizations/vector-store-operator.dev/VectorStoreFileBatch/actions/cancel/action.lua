-- Copyright The vector-store-operator Authors.
-- SPDX-License-Identifier: Apache-2.0

obj.spec.cancel = true
return obj
