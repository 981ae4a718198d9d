package bundle

// circles walks the graph of n nodes and reports each circle that it meets, its first
// node again at its end. A graph has circles if and only if one is reported.
func circles(n int, next func(int) []int, report func([]int)) {
	const onPath, done = 1, 2
	state := make([]byte, n)
	type frame struct {
		node int
		rest []int
	}
	for start := range n {
		if state[start] != 0 {
			continue
		}
		state[start] = onPath
		path := []frame{{start, next(start)}}
		for len(path) > 0 {
			top := &path[len(path)-1]
			if len(top.rest) == 0 {
				state[top.node] = done
				path = path[:len(path)-1]
				continue
			}
			node := top.rest[0]
			top.rest = top.rest[1:]
			switch state[node] {
			case 0:
				state[node] = onPath
				path = append(path, frame{node, next(node)})
			case onPath:
				var circle []int
				for _, f := range path {
					if len(circle) > 0 || f.node == node {
						circle = append(circle, f.node)
					}
				}
				report(append(circle, node))
			}
		}
	}
}
