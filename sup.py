from load import *
from wellbridge.privacy.tables.moves import Task, unproved
from wellbridge.privacy.tables.suppress import *
from wellbridge.privacy.tables import suppress as S
import resource
def task(t,strong,lower=0):
    f,full,g,s,cells=load(t); v=s.values; P=(v>0)&(v<10)
    up=np.where(P,10-v if strong else 1,0); down=np.where(P,np.minimum(v-lower,3 if strong else 1),0)
    cost=np.where(v>0,1.0,np.inf)
    return Task(s,P,up,down,np.minimum(v,lower),np.full(len(v),1<<40),cost)
if __name__=='__main__':
    t=sys.argv[1]; strong='s' in sys.argv[2]; lower=int('1' in sys.argv[2]); eff={'e':EXACT,'q':QUICK}.get(sys.argv[3]) if len(sys.argv)>3 else None
    T=task(t,strong,lower)
    c=time.process_time()
    import cProfile,pstats
    if len(sys.argv)>4: pr=cProfile.Profile(); pr.enable()
    r=suppress(T,eff); e=time.process_time()-c
    if len(sys.argv)>4: pr.disable(); pstats.Stats(pr).sort_stats('cumtime').print_stats(25)
    print(t,sys.argv[2:],'secondary',int((r.hidden&~T.hidden).sum()),'failed',len(r.failed),'optimal',r.is_optimal,'bound',round(r.lower_bound,2),'moves',r.moves.shape[0],'nnz',r.moves.nnz,'cpu',round(e,2))
    c=time.process_time(); print('unproved',len(unproved(T,r)),'cpu',round(time.process_time()-c,2))
