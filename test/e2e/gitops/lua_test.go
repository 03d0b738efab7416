// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package gitops_test

import (
	"context"
	"testing"
	"time"

	lua "github.com/yuin/gopher-lua"
)

// runLua runs a script on an object as Argo CD does: with the basic and the table library, a
// second of time, and nothing of the string or the io library.
func runLua(t *testing.T, script string, object map[string]any) any {
	t.Helper()
	l := lua.NewState(lua.Options{SkipOpenLibs: true})
	defer l.Close()
	for name, open := range map[string]lua.LGFunction{
		lua.LoadLibName: lua.OpenPackage, lua.BaseLibName: lua.OpenBase, lua.TabLibName: lua.OpenTable,
	} {
		if err := l.CallByParam(lua.P{Fn: l.NewFunction(open), Protect: true}, lua.LString(name)); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	l.SetContext(ctx)
	l.SetGlobal("obj", toLua(l, object))
	if err := l.DoString(script); err != nil {
		t.Fatal(err)
	}
	return fromLua(l.Get(-1))
}

func toLua(l *lua.LState, value any) lua.LValue {
	switch value := value.(type) {
	case bool:
		return lua.LBool(value)
	case string:
		return lua.LString(value)
	case int64:
		return lua.LNumber(value)
	case float64:
		return lua.LNumber(value)
	case []any:
		table := l.NewTable()
		for _, item := range value {
			table.Append(toLua(l, item))
		}
		return table
	case map[string]any:
		table := l.NewTable()
		for key, item := range value {
			table.RawSetString(key, toLua(l, item))
		}
		return table
	}
	return lua.LNil
}

// fromLua reads a value. To Lua an empty list and an empty map are the same: they are read as
// an empty list, as Argo CD's reader does.
func fromLua(value lua.LValue) any {
	switch value := value.(type) {
	case lua.LBool:
		return bool(value)
	case lua.LString:
		return string(value)
	case lua.LNumber:
		return float64(value)
	case *lua.LTable:
		if key, _ := value.Next(lua.LNil); key == lua.LNil || key.Type() == lua.LTNumber {
			list := []any{}
			value.ForEach(func(_, item lua.LValue) { list = append(list, fromLua(item)) })
			return list
		}
		table := map[string]any{}
		value.ForEach(func(key, item lua.LValue) { table[key.String()] = fromLua(item) })
		return table
	}
	return nil
}
