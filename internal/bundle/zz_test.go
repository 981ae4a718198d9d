package bundle_test
import ("testing";"time";"github.com/pathgrant/pathgrant/internal/bundle";"runtime/pprof";"os")
func TestZZ(t *testing.T){
 for _,n:=range []int{25000,50000,100000,200000}{
  for _,f:=range []bundle.Format{bundle.YAML,bundle.JSON}{
   src:=write(t,manyAssignments(n),f)
   if n==200000 && f==bundle.JSON { o,_:=os.Create("/tmp/E.prof"); pprof.StartCPUProfile(o) }
   t0:=time.Now(); _,err:=bundle.Parse("x",src,options(t)); t.Log(n,f,time.Since(t0),err)
  }}
  pprof.StopCPUProfile()
}
