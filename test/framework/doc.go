// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package framework is what the test suites and the demo share. It starts a real etcd and
// kube-apiserver, builds and runs the project's programs, and creates the objects that tests need.
//
// A package of tests starts one Env in TestMain:
//
//	var env *framework.Env
//
//	func TestMain(m *testing.M) {
//		os.Exit(framework.Suite{Options: framework.Options{
//			Install: []string{"crd", "policy"}, Build: []string{"manager"},
//		}}.Run(m, &env))
//	}
//
// and one Fixture in each test: a namespace, an OpenAI emulator, and managers that watch nothing
// else:
//
//	f := env.NewFixture(t, emulator.Options{})
//	f.StartManager(t, "manager", framework.Setup{})
//	f.Create(t, f.Batch("handbook", spec))
//	f.WaitForReason(t, "handbook", v1alpha1.ReasonCompleted)
//
// The parts, each usable on its own:
//
//   - Env, Options, Start, Suite: the control plane, clients, built programs; TestMain.
//   - Fixture, Setup: a namespace with a Secret, an emulator, and managers behind proxies.
//   - Kubectl: runs kubectl against a cluster, as a user, in a namespace.
//   - Process, Command, Run: starts a program, reads its output, signals it, waits for its exit.
//   - Output: runs a program that exits by itself.
//   - Env.StartControllerManager: some of the controllers of a cluster.
//   - Manager, ManagerOptions, Env.StartManager: the manager as a process.
//   - Emulator, StartEmulator, EmulatorClient: the emulator as a process, and a client of its API
//     and its admin API.
//   - Poll, PollEvery, Eventually, Await, Pause, Timeout: waiting for a state.
//   - Build, Root, Tool, ReadFile, FreeAddress, CommitSeed, Fetch, WriteProxyKubeconfig:
//     builds, files, ports, seeds, HTTP.
//   - NewBatch, NewSecret, ReadyReason, File, StuckFile: objects.
//   - package proxy: proxies that record, delay, hold and answer requests to the API server and to
//     the OpenAI API; late and interrupted watches.
package framework
